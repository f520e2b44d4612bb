//! Resampling of a whole recording to 24 kHz by a fixed-ratio FFT resampler, whose delay is
//! removed.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::{ClipError, SAMPLE_RATE};

/// Least number of source samples that the resampler takes at a time.
const MIN_BLOCK: usize = 1_024;

/// Resamples `mono` from `rate` to 24 kHz: `round(len * 24000 / rate)` samples, at least one.
/// Samples that are already at 24 kHz are returned unchanged.
pub(super) fn to_24k(mono: Vec<f32>, rate: u32) -> Result<Vec<f32>, ClipError> {
    if rate == SAMPLE_RATE {
        return Ok(mono);
    }
    let refused = |reason: String| ClipError::Unsupported {
        format: "audio",
        reason: format!("resampling from {rate} Hz: {reason}"),
    };
    let mut resampler = Fft::<f32>::new(rate as usize, SAMPLE_RATE as usize, block(rate), 1, FixedSync::Both)
        .map_err(|error| refused(error.to_string()))?;
    let input = InterleavedSlice::new(&mono, 1, mono.len()).map_err(|error| refused(error.to_string()))?;
    let output = resampler.process_all(&input, mono.len(), None).map_err(|error| refused(error.to_string()))?;
    let mut samples = output.take_data();
    samples.resize(resampled_len(mono.len(), rate), 0.0);
    Ok(samples)
}

/// Returns the block length in source samples, which fits the ratio and is even. The filter's delay
/// is half a block, so an odd block would leave the recording half a source sample late.
fn block(rate: u32) -> usize {
    let even_unit = 2 * (rate / greatest_common_divisor(rate, SAMPLE_RATE)) as usize;
    MIN_BLOCK.next_multiple_of(even_unit)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Returns `round(len * 24000 / rate)`, at least 1.
pub(super) fn resampled_len(len: usize, rate: u32) -> usize {
    let rate = u64::from(rate);
    let rounded = (len as u64 * u64::from(SAMPLE_RATE) + rate / 2) / rate;
    usize::try_from(rounded).unwrap_or(usize::MAX).max(1)
}
