//! The encodings of a result.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::Invalid;

/// Container and coding of a result; always 24 kHz mono.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_fn = unknown, parse_err_ty = Invalid)]
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
    /// MP3 (MPEG-2 Layer III) at a constant bit rate, without tags: lossy, and plays everywhere.
    Mp3,
}

impl AudioFormat {
    /// All formats.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the name in requests and receipts, which is also the file extension.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm;rate=24000;encoding=signed-int;bits=16",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg;codecs=opus",
            Self::Mp3 => "audio/mpeg",
        }
    }
}

/// Refuses a name that no variant of [`AudioFormat`] has.
fn unknown(text: &str) -> Invalid {
    Invalid::malformed("format", text, "wav, pcm, flac, opus or mp3")
}
