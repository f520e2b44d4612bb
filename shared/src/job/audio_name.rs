//! A name for the audio of a job in the store.

use std::fmt;
use std::str::FromStr;

use super::Invalid;
use super::limits::AUDIO_NAME_BYTES;

/// Beginning of the store key of a job's audio, below `audio/`, in place of the job's id: segments of
/// `[a-z0-9_-]` joined by `/`, within [`AUDIO_NAME_BYTES`]. Two jobs must not have the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioName(String);

impl AudioName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AudioName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AudioName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !AUDIO_NAME_BYTES.allows(text.len() as u64) {
            return Err(Invalid::outside("audio_name", text, &AUDIO_NAME_BYTES));
        }
        let is_safe = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if text.split('/').any(|segment| segment.is_empty() || !segment.bytes().all(is_safe)) {
            return Err(Invalid::malformed("audio_name", text, "segments of [a-z0-9_-] joined by '/'"));
        }
        Ok(Self(text.to_owned()))
    }
}
