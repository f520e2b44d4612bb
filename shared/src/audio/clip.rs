//! [`Clip`]: a recording in the one format behind the gateway.

use std::sync::Arc;

use super::collector::Segment;
use super::{
    ClipError, FRAME_SAMPLES, MAX_SOURCE_BYTES, MAX_SOURCE_SECONDS, SAMPLE_RATE, SourceLimit, clip_resample, to_f32,
    to_i16, wav,
};

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

    /// Reads a whole WAV file, as [`read`](super::read) does. A file that calls for a warning is
    /// refused.
    ///
    /// A 24 kHz mono 16-bit file comes back sample for sample; other rates are resampled to
    /// `round(n * 24000 / rate)` samples.
    ///
    /// # Errors
    /// [`ClipError`] if the bytes are no recording within the limits. No input causes a panic.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, ClipError> {
        if bytes.len() > MAX_SOURCE_BYTES {
            return Err(ClipError::TooLarge { bytes: bytes.len() });
        }
        let source = wav::read(bytes, SourceLimit::default())?;
        match source.warnings.into_iter().next() {
            Some(reason) => Err(ClipError::Broken { format: "WAV", reason }),
            None => Self::from_segments(source.segments),
        }
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

    /// Resamples the segments of a file to 24 kHz, one behind the other.
    pub(super) fn from_segments(segments: Vec<Segment>) -> Result<Self, ClipError> {
        let mut samples = Vec::new();
        for segment in segments.into_iter().filter(|segment| !segment.mono.is_empty()) {
            let resampled = clip_resample::to_24k(segment.mono, segment.rate)?;
            samples.extend(resampled.into_iter().map(to_i16));
        }
        Ok(Self { samples: samples.into() })
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
