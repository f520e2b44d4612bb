//! Encoders of speech: complete files ([`encode_file`]), and streams that flush with every call
//! ([`StreamEncoder`]).
//!
//! The samples are 24 kHz, mono, 16 bit. Both ways of a format share one coding: the samples that a
//! stream carries are those of the file. Only the header differs, because a stream cannot know its
//! length. Encoders do not mark; the worker hands over marked samples only.

mod flac;
mod metadata;
mod mp3;
pub mod opus;
mod resample;
mod stream;
mod wav;

use csm_shared::job::AudioFormat;

pub use mp3::{BITRATE as MP3_BITRATE, DELAY as MP3_DELAY, FRAME_SAMPLES as MP3_FRAME_SAMPLES, RATES as MP3_RATES};
pub use resample::{Resampler, SAMPLE_RATES, resampled_len};
pub use stream::StreamEncoder;
pub use wav::encoded_len as wav_len;

/// Failure of an encoder.
#[derive(Debug, thiserror::Error)]
#[error("encoding {format}: {why}")]
pub struct EncodeError {
    /// Format of the file or stream.
    pub format: AudioFormat,
    /// Message of the encoder.
    pub why: String,
}

impl EncodeError {
    fn new(format: AudioFormat, why: impl std::fmt::Display) -> Self {
        Self { format, why: why.to_string() }
    }
}

/// Encodes a complete file. No samples make a legal file without samples.
///
/// # Errors
/// [`EncodeError`]: the encoder of the format failed.
pub fn encode_file(samples: &[i16], format: AudioFormat) -> Result<Vec<u8>, EncodeError> {
    match format {
        AudioFormat::Wav => Ok(wav::encode(samples)),
        AudioFormat::Pcm => Ok(pcm(samples)),
        AudioFormat::Flac => flac::encode(samples),
        AudioFormat::Opus => opus::encode(samples),
        AudioFormat::Mp3 => mp3::encode(samples),
    }
}

/// Returns the samples alone: 16 bit, lowest byte first.
#[must_use]
pub fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
