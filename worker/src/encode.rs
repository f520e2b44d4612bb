//! Encoders of finished files. Each takes [`Marked`] and nothing else, so unmarked speech cannot
//! get into a file or a stream.
//!
//! Every format except bare samples and MP3 also says in its metadata that the speech was generated.
//! Complete WAV files carry a signed C2PA manifest as well, if a key is set.

#[cfg(test)]
mod tests;

use csm_shared::job::AudioFormat;

use crate::marks::Marked;
use crate::provenance::{ProvenanceError, Signer};

/// Failure to encode speech.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The encoder of a format failed.
    #[error(transparent)]
    Encoder(#[from] csm_formats::EncodeError),
    /// The manifest could not be made or signed.
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
}

/// Encoder of complete files. Cloning shares the signing key.
#[derive(Clone, Debug, Default)]
pub struct AudioEncoder {
    signer: Option<Signer>,
}

impl AudioEncoder {
    /// Creates an encoder that signs WAV files with `signer`. Without a signer they are not signed.
    #[must_use]
    pub fn new(signer: Option<Signer>) -> Self {
        Self { signer }
    }

    /// Runs the self-test of the signer with the files that its settings name now, and goes on with
    /// what they hold. Passes without a signer.
    ///
    /// # Errors
    /// [`ProvenanceError`]: no file can be signed.
    pub fn check(&self) -> Result<(), ProvenanceError> {
        self.signer.as_ref().map_or(Ok(()), Signer::renew)
    }

    /// Encodes a complete file with [`encode`]. Signs it if its format can carry a manifest and
    /// there is a key.
    ///
    /// # Errors
    /// [`EncodeError`]: nothing may be delivered, above all not the file without its manifest.
    pub fn encode(&self, speech: &Marked, format: AudioFormat) -> Result<Vec<u8>, EncodeError> {
        let file = encode(speech, format)?;
        match (&self.signer, format) {
            (Some(signer), AudioFormat::Wav) => Ok(signer.sign_wav(file)?),
            (None, _) | (Some(_), _) => Ok(file),
        }
    }
}

/// Encodes a complete file without a manifest. Empty audio becomes a legal file without samples.
///
/// # Errors
/// [`EncodeError::Encoder`].
pub fn encode(speech: &Marked, format: AudioFormat) -> Result<Vec<u8>, EncodeError> {
    Ok(csm_formats::encode_file(speech.samples(), format)?)
}

/// Encodes the samples alone: 16 bit, lowest byte first.
#[must_use]
pub fn pcm(speech: &Marked) -> Vec<u8> {
    csm_formats::pcm(speech.samples())
}
