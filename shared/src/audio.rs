//! The audio types that gateway and worker share: the sample rates, one frame of Mimi codes, and
//! [`Clip`], a caller's recording.
//!
//! Callers send recordings in any usual format; everything behind the gateway handles one format
//! only: 24 kHz mono 16-bit. [`read`] is the one way from the first to the second. The content of a
//! file decides its format. No byte string causes a panic, and a file is refused before its
//! decoding would allocate more than the limits allow. Frames are counted during decoding, so that
//! a small file that would decode to hours of audio is refused early. The least and greatest length
//! of a recording for a job are the caller's rules, read from [`Clip::duration_ms`].

mod clip_resample;
mod container;
mod flac_mp3_decode;
mod mixdown;
mod ogg;
#[cfg(test)]
mod tests;
mod vorbis;
mod wav_decode;

use std::sync::Arc;

use container::{Container, container};
use wav_decode::DecodedAudio;

/// Samples per second of everything that the model reads or generates.
pub const SAMPLE_RATE: u32 = 24_000;
/// Samples of one frame: 80 ms at [`SAMPLE_RATE`].
pub const FRAME_SAMPLES: usize = 1_920;
/// Milliseconds of one frame.
pub const FRAME_MS: u32 = 80;
/// Mimi codebooks of one frame.
pub const CODEBOOKS: usize = 32;

/// The formats that [`read`] accepts, as error messages name them.
pub const FORMATS: &str = "WAV, FLAC, MP3, Ogg Vorbis or Ogg Opus";
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

/// Reason why a byte string is no [`Clip`]. Each text is meant for the caller that sent the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// Bytes that begin like none of [`FORMATS`].
    #[error("the audio is not {FORMATS}")]
    UnknownFormat,
    /// Bytes without the structure of a RIFF WAVE file.
    #[error("the audio is not a WAV file: {0}")]
    NotWav(&'static str),
    /// A coding, sample rate or channel count that is not supported.
    #[error("the audio cannot be read: {0}")]
    Unsupported(String),
    /// A file of a known format that its decoder refuses.
    #[error("the {format} file is damaged: {reason}")]
    Broken {
        /// Name of the format.
        format: &'static str,
        /// The decoder's reason.
        reason: String,
    },
    /// A file without a single sample.
    #[error("the audio holds no samples")]
    Empty,
    /// A file that ends before the audio that its header promises.
    #[error("the WAV file is truncated: its header promises {promised} bytes of audio and {present} are there")]
    Truncated {
        /// Bytes of audio by the header.
        promised: usize,
        /// Bytes of audio in the file.
        present: usize,
    },
    /// Raw samples that end in the middle of a sample.
    #[error("the samples have {bytes} bytes, which is no whole number of 16-bit samples")]
    HalfSample {
        /// Bytes of the samples.
        bytes: usize,
    },
    /// A file larger than [`MAX_SOURCE_BYTES`].
    #[error("the audio has {bytes} bytes, more than the limit of {MAX_SOURCE_BYTES}")]
    TooLarge {
        /// Bytes of the file.
        bytes: usize,
    },
    /// A recording longer than [`MAX_SOURCE_SECONDS`], with more frames than [`MAX_SOURCE_FRAMES`],
    /// or longer than its reader may use.
    #[error("the recording lasts longer than the limit of {seconds} s at its sample rate")]
    TooLong {
        /// The limit at the recording's sample rate, in seconds.
        seconds: u32,
    },
}

impl ClipError {
    /// Returns true if a smaller or shorter file might be accepted.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooLong { .. })
    }
}

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

/// A file that was read, with what its sender should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The audio.
    pub clip: Clip,
    /// Sentences for the caller about parts of the file that were not used as written; empty for a
    /// sound file.
    pub warnings: Vec<String>,
}

/// Reads a recording of any of [`FORMATS`]; the content decides which.
///
/// Takes 1 to [`MAX_SOURCE_CHANNELS`] channels (Ogg: 2), averaged to mono, at [`MIN_SOURCE_RATE`]
/// to [`MAX_SOURCE_RATE`] Hz, resampled to 24 kHz. The encoder's delay is removed as far as the
/// decoder knows it; MP3 files that do not state a delay keep theirs. A damaged packet becomes
/// silence; too many damaged packets refuse the file.
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
    let source = match container(bytes).ok_or(ClipError::UnknownFormat)? {
        Container::Wav(bytes) => wav_decode::wav(bytes, limit),
        Container::Flac(bytes) => flac_mp3_decode::flac(bytes, limit),
        Container::Mp3(bytes) => flac_mp3_decode::mp3(bytes, limit),
        Container::Ogg(bytes) => ogg::ogg(bytes, limit),
    };
    Ok(Recording { clip: Clip::from_source(source?)?, warnings: Vec::new() })
}

/// A recording at 24 kHz, mono, 16 bit. Cloning shares the samples.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    samples: Arc<[i16]>,
}

impl Clip {
    /// Makes a clip of samples that are already 24 kHz mono.
    #[must_use]
    pub fn from_samples(samples: Vec<i16>) -> Self {
        Self { samples: samples.into() }
    }

    /// Reads a WAV file of 8, 16, 24 or 32-bit integers or 32-bit floats.
    ///
    /// Takes 1 to [`MAX_SOURCE_CHANNELS`] channels, averaged to mono. Rates from
    /// [`MIN_SOURCE_RATE`] to [`MAX_SOURCE_RATE`] are resampled to `round(n * 24000 / rate)`
    /// samples. A 24 kHz mono 16-bit file comes back sample for sample.
    ///
    /// # Errors
    /// [`ClipError`] if the bytes are no recording within the limits. No input causes a panic.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, ClipError> {
        if bytes.len() > MAX_SOURCE_BYTES {
            return Err(ClipError::TooLarge { bytes: bytes.len() });
        }
        Self::from_source(wav_decode::wav(bytes, SourceLimit::default())?)
    }

    /// Reads raw samples: 24 kHz mono, 16 bit, little-endian. Raw samples have no header, so
    /// nothing checks that they are audio.
    ///
    /// # Errors
    /// [`ClipError::TooLarge`], [`ClipError::HalfSample`], [`ClipError::Empty`],
    /// [`ClipError::TooLong`].
    pub fn from_pcm(bytes: &[u8]) -> Result<Self, ClipError> {
        if bytes.len() > MAX_SOURCE_BYTES {
            return Err(ClipError::TooLarge { bytes: bytes.len() });
        }
        let (samples, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(ClipError::HalfSample { bytes: bytes.len() });
        }
        if samples.is_empty() {
            return Err(ClipError::Empty);
        }
        if samples.len() as u64 > SourceLimit::default().frames(SAMPLE_RATE) {
            return Err(ClipError::TooLong { seconds: MAX_SOURCE_SECONDS });
        }
        Ok(Self { samples: samples.iter().map(|&sample| i16::from_le_bytes(sample)).collect() })
    }

    fn from_source(source: DecodedAudio) -> Result<Self, ClipError> {
        let samples = clip_resample::to_24k(source.mono, source.sample_rate)?;
        Ok(Self { samples: samples.into_iter().map(to_i16).collect() })
    }

    /// Returns the samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Returns the samples as floats in [-1, 1).
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.samples.iter().copied().map(to_f32).collect()
    }

    /// Returns the length in milliseconds, rounded down.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.samples.len() as u64 * 1_000 / u64::from(SAMPLE_RATE)
    }

    /// Returns the number of frames of [`FRAME_SAMPLES`] that hold the clip; the last one may be
    /// partly filled.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len().div_ceil(FRAME_SAMPLES)
    }

    /// Returns the clip as a WAV file, to pass a caller's recording on. Generated speech leaves
    /// through the worker's encoder instead, which accepts watermarked audio only.
    #[must_use]
    pub fn to_wav(&self) -> Vec<u8> {
        let data_bytes = u32::try_from(self.samples.len() * 2).unwrap_or(u32::MAX);
        let mut wav = Vec::with_capacity(44 + self.samples.len() * 2);
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
        wav.extend_from_slice(b"WAVE");
        wav.extend_from_slice(&format_chunk());
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&data_bytes.to_le_bytes());
        wav.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
        wav
    }
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({} samples)", self.samples.len())
    }
}

/// Returns the `fmt ` chunk, header included, of every WAV file written here: PCM, 24 kHz, mono,
/// 16 bit.
#[must_use]
pub fn format_chunk() -> [u8; 24] {
    let mut chunk = [0; 24];
    chunk[..4].copy_from_slice(b"fmt ");
    chunk[4..8].copy_from_slice(&16u32.to_le_bytes());
    chunk[8..10].copy_from_slice(&1u16.to_le_bytes()); // PCM
    chunk[10..12].copy_from_slice(&1u16.to_le_bytes()); // channels
    chunk[12..16].copy_from_slice(&SAMPLE_RATE.to_le_bytes());
    chunk[16..20].copy_from_slice(&(SAMPLE_RATE * 2).to_le_bytes()); // bytes per second
    chunk[20..22].copy_from_slice(&2u16.to_le_bytes()); // bytes per sample of all channels
    chunk[22..24].copy_from_slice(&16u16.to_le_bytes()); // bits
    chunk
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
