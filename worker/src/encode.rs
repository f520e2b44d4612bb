//! The way out: encoders that take [`Marked`] and nothing else, so that unmarked speech has no way into a file or a stream.
//!
//! Every format but bare samples also says in words that the speech was generated. Complete WAV files carry a signed C2PA
//! manifest on top, where a key was given.

mod flac;
mod metadata;
mod opus;
#[cfg(test)]
mod tests;
pub mod wav;

use csm_shared::job::AudioFormat;

use crate::marks::Marked;
use crate::provenance::{ProvenanceError, Signer};

/// Why speech could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The encoder of a format failed.
    #[error("encoding {format}: {why}")]
    Encoder {
        /// The format.
        format: AudioFormat,
        /// The encoder's words.
        why: String,
    },
    /// The manifest could not be made or signed.
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
}

/// Makes complete files. Cloning shares the signing key.
#[derive(Clone, Debug, Default)]
pub struct AudioEncoder {
    signer: Option<Signer>,
}

impl AudioEncoder {
    /// An encoder whose WAV files are signed by `signer`; without one they are not signed.
    #[must_use]
    pub fn new(signer: Option<Signer>) -> Self {
        Self { signer }
    }

    /// A complete file: [`encode`], and signed where its format can carry a manifest and there is a key.
    ///
    /// # Errors
    /// [`EncodeError`]: nothing may leave, above all not the file without its manifest.
    pub fn encode(&self, speech: &Marked, format: AudioFormat) -> Result<Vec<u8>, EncodeError> {
        let file = encode(speech, format)?;
        match (&self.signer, format) {
            (Some(signer), AudioFormat::Wav) => Ok(signer.sign_wav(file)?),
            (None, _) | (Some(_), AudioFormat::Pcm | AudioFormat::Flac | AudioFormat::Opus) => Ok(file),
        }
    }
}

/// A complete file without a manifest. Empty audio makes a legal file without samples.
///
/// # Errors
/// [`EncodeError::Encoder`].
pub fn encode(speech: &Marked, format: AudioFormat) -> Result<Vec<u8>, EncodeError> {
    match format {
        AudioFormat::Wav => Ok(wav::encode(speech)),
        AudioFormat::Pcm => Ok(pcm(speech)),
        AudioFormat::Flac => flac::encode(speech),
        AudioFormat::Opus => opus::encode(speech),
    }
}

/// Samples alone: 16 bit, lowest byte first.
#[must_use]
pub fn pcm(speech: &Marked) -> Vec<u8> {
    speech.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
