//! The audio types that gateway and worker share: the sample rates, one frame of Mimi codes, and
//! [`Clip`], a caller's recording.
//!
//! Callers send recordings in any usual format; everything behind the gateway handles one format
//! only: 24 kHz mono 16-bit. [`read`] is the one way from the first to the second. The content of a
//! file decides its format. No byte string causes a panic, and a file is refused before its
//! decoding would allocate more than the limits allow. Frames are counted during decoding, so that
//! a small file that would decode to hours of audio is refused early. The least and greatest length
//! of a recording for a job are the caller's rules, read from [`Clip::duration_ms`].
//!
//! Parts of the reader:
//!
//! - `container` tells the format, `foreign` names the formats that are not read.
//! - `wav`, `aiff`, `au`, `caf`, `flac`, `mpeg_audio`, `aac`, `ogg`, `mp4` and `matroska` find the
//!   packets of a file. All walk over the bytes in memory, and no length in a file is trusted.
//! - `pcm`, `adpcm`, `opus_decode` and `codec` (symphonia) decode packets.
//! - `channel_mix` mixes the channels, `collector` keeps limits and warnings, `clip_resample`
//!   resamples.

mod aac;
mod adpcm;
mod aiff;
mod alac;
mod apple_layout;
mod au;
mod caf;
mod channel_mix;
mod chunks;
mod clip;
mod clip_error;
mod clip_resample;
mod codec;
mod collector;
mod container;
mod ebml;
mod flac;
mod flac_frame;
mod foreign;
mod matroska;
mod matroska_codec;
mod mp4;
mod mp4_boxes;
mod mp4_entry;
mod mp4_samples;
mod mpeg_audio;
mod mpeg_frame;
mod ogg;
mod ogg_pages;
mod opus_decode;
mod pcm;
#[cfg(test)]
mod tests;
mod vorbis;
mod vorbis_setup;
mod wav;

pub use clip::{Clip, format_chunk};
pub use clip_error::ClipError;

/// Samples per second of everything that the model reads or generates.
pub const SAMPLE_RATE: u32 = 24_000;
/// Samples of one frame: 80 ms at [`SAMPLE_RATE`].
pub const FRAME_SAMPLES: usize = 1_920;
/// Milliseconds of one frame.
pub const FRAME_MS: u32 = 80;
/// Mimi codebooks of one frame.
pub const CODEBOOKS: usize = 32;

/// The formats that [`read`] accepts, as error messages name them.
pub const FORMATS: &str = "WAV, FLAC, MP3, M4A, Ogg, WebM, AIFF, CAF, AU or AAC";
/// Most warnings of a recording.
pub const MAX_WARNINGS: usize = 8;
/// Largest source file that [`read`] accepts, in bytes.
pub const MAX_SOURCE_BYTES: usize = 32 * 1024 * 1024;
/// Longest recording that [`read`] decodes; well above the model's window of 164 s.
pub const MAX_SOURCE_SECONDS: u32 = 600;
/// The same in milliseconds.
const MAX_SOURCE_MS: u64 = MAX_SOURCE_SECONDS as u64 * 1_000;
/// Most frames that [`read`] decodes, at the source's own rate: 699 s at 48 kHz, 174 s at 192 kHz.
pub const MAX_SOURCE_FRAMES: u64 = 32 * 1024 * 1024;
/// Lowest source rate that is resampled, in Hz.
pub const MIN_SOURCE_RATE: u32 = 8_000;
/// Highest source rate that is resampled, in Hz.
pub const MAX_SOURCE_RATE: u32 = 192_000;
/// Largest number of source channels that are mixed to mono.
pub const MAX_SOURCE_CHANNELS: u16 = 8;

/// Full scale of a 16-bit sample: an `f32` sample is the `i16` sample divided by this.
const I16_SCALE: f32 = 32_768.0;

/// The Mimi codes of one frame, codebook 0 first.
pub type Frame = [u32; CODEBOOKS];

/// Longest recording that a decoder may return.
#[derive(Clone, Copy, Debug)]
struct SourceLimit {
    /// Longest recording, in whole milliseconds.
    most_ms: u64,
}

impl Default for SourceLimit {
    fn default() -> Self {
        Self { most_ms: MAX_SOURCE_MS }
    }
}

impl SourceLimit {
    /// Returns the most frames of a recording at `rate`, at that rate.
    fn frames(self, rate: u32) -> u64 {
        let rate = u64::from(rate);
        let frames = if self.most_ms >= MAX_SOURCE_MS {
            u64::from(MAX_SOURCE_SECONDS) * rate
        } else {
            // Lengths are rounded down to milliseconds, so less than one millisecond more is allowed.
            ((self.most_ms + 1) * rate).div_ceil(1_000).saturating_sub(1)
        };
        frames.min(MAX_SOURCE_FRAMES)
    }

    /// Returns the refusal of a longer recording at `rate`.
    fn too_long(self, rate: u32) -> ClipError {
        ClipError::TooLong { seconds: (self.frames(rate) / u64::from(rate.max(1))) as u32 }
    }
}

/// Recording of a caller, and what its caller should know about the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The samples.
    pub clip: Clip,
    /// One sentence for each part of the file that was not read as the file promised it; at most
    /// [`MAX_WARNINGS`].
    pub warnings: Vec<String>,
}

/// Reads a recording of any of [`FORMATS`]; the content decides which.
///
/// Takes 1 to [`MAX_SOURCE_CHANNELS`] channels, mixed to mono as ffmpeg's `-ac 1` does, at
/// [`MIN_SOURCE_RATE`] to [`MAX_SOURCE_RATE`] Hz, resampled to 24 kHz. Delay and padding of the
/// encoder are removed as far as the file names them. A damaged packet becomes silence; too many
/// damaged packets refuse the file. Whatever is left out is named in the warnings.
///
/// # Errors
/// [`ClipError`] if the bytes are no recording within the limits. No input causes a panic.
pub fn read(bytes: &[u8]) -> Result<Recording, ClipError> {
    read_within(bytes, MAX_SOURCE_MS)
}

/// Reads a recording of at most `most_ms` milliseconds, as [`read`] does. A longer one is refused
/// as soon as its decoder knows, and before it takes more memory than one of that length.
///
/// # Errors
/// [`ClipError`] as for [`read`]; [`ClipError::TooLong`] beyond `most_ms`.
pub fn read_within(bytes: &[u8], most_ms: u64) -> Result<Recording, ClipError> {
    if bytes.len() > MAX_SOURCE_BYTES {
        return Err(ClipError::TooLarge { bytes: bytes.len() });
    }
    let limit = SourceLimit { most_ms };
    let source = container::read(bytes, limit)?;
    Ok(Recording { clip: Clip::from_segments(source.segments)?, warnings: source.warnings })
}

/// Converts a 16-bit sample to [-1, 1).
#[must_use]
pub fn to_f32(sample: i16) -> f32 {
    f32::from(sample) / I16_SCALE
}

/// Converts a float sample to 16 bit: rounded, and clamped to full scale.
#[must_use]
pub fn to_i16(sample: f32) -> i16 {
    // A float-to-integer cast saturates and turns NaN into 0.
    (sample * I16_SCALE).round() as i16
}
