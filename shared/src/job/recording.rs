//! Recording of a context segment: its samples, or a reference to the store that holds them.
//!
//! A payload in Redis holds short recordings only. Longer ones are objects of the store, addressed
//! by content: the key ends in the SHA-256 of the samples. The same recording in many jobs, such as
//! the turns of one conversation, is one object.

use crate::audio::{Clip, ClipError, FRAME_SAMPLES, SAMPLE_RATE};
use crate::process::digest::sha256_hex;

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Recording of a context segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Recording {
    /// The samples themselves.
    Clip(Clip),
    /// Samples that the store holds.
    Stored(StoredRecording),
}

/// Reference to the samples of a recording in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecording {
    /// Key of the object, whose bytes are 24 kHz mono samples of 16 bit, lowest byte first.
    pub location: String,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
    /// Number of samples.
    pub samples: u32,
}

/// Reason why an object is not the recording that a job refers to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongRecording {
    /// Other bytes than the reference names.
    #[error("object {location} has the digest {found}")]
    Digest {
        /// Key of the object.
        location: String,
        /// SHA-256 of the bytes that were found.
        found: String,
    },
    /// Bytes that are no samples.
    #[error(transparent)]
    Clip(#[from] ClipError),
}

impl Recording {
    /// Returns the number of samples at 24 kHz.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match self {
            Self::Clip(clip) => clip.samples().len() as u64,
            Self::Stored(stored) => stored.samples.into(),
        }
    }

    /// Returns the length in milliseconds, rounded down.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.samples() * 1_000 / u64::from(SAMPLE_RATE)
    }

    /// Returns the number of frames that the model reads for the recording.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples().div_ceil(FRAME_SAMPLES as u64) as usize
    }
}

/// Returns whether a text is a SHA-256 in hex.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == SHA256_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl From<Clip> for Recording {
    fn from(clip: Clip) -> Self {
        Self::Clip(clip)
    }
}

impl StoredRecording {
    /// Returns the reference to a recording of these bytes, under the key that `location` makes of
    /// the SHA-256.
    pub fn of(pcm: &[u8], location: impl FnOnce(&str) -> String) -> Self {
        let sha256 = sha256_hex(pcm);
        Self { location: location(&sha256), sha256, samples: (pcm.len() / size_of::<i16>()) as u32 }
    }

    /// Returns whether the digest is one.
    pub(super) fn is_well_formed(&self) -> bool {
        is_sha256(&self.sha256)
    }

    /// Reads the object that the reference names.
    ///
    /// # Errors
    /// [`WrongRecording`] if the bytes are others than those that were stored.
    pub fn read(&self, bytes: &[u8]) -> Result<Clip, WrongRecording> {
        let found = sha256_hex(bytes);
        if found != self.sha256 {
            return Err(WrongRecording::Digest { location: self.location.clone(), found });
        }
        Ok(Clip::from_pcm(bytes)?)
    }
}
