//! The encodings of a result.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Container and coding of a result; always 24 kHz mono.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    /// RIFF WAVE, 16-bit PCM, with metadata about its origin.
    #[default]
    Wav,
    /// Samples without a header: 16 bit, signed, little-endian.
    Pcm,
    /// FLAC, 16 bit: the same samples in about half the bytes.
    Flac,
    /// Opus in Ogg (RFC 7845): small, but lossy.
    Opus,
}

impl AudioFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Wav, Self::Pcm, Self::Flac, Self::Opus];

    /// Returns the name in requests and receipts, which is also the file extension.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Pcm => "pcm",
            Self::Flac => "flac",
            Self::Opus => "opus",
        }
    }

    /// Returns the media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm;rate=24000;encoding=signed-int;bits=16",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg;codecs=opus",
        }
    }
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AudioFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| Invalid::malformed("format", text, "wav, pcm, flac or opus"))
    }
}
