//! A whole recording brought to 24 kHz by a fixed-ratio FFT resampler, its delay taken off.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::{ClipError, SAMPLE_RATE};

/// Source samples that the resampler takes at a time, at least.
const MIN_BLOCK: usize = 1_024;

/// `mono` at `rate` as `round(len * 24000 / rate)` samples at 24 kHz, and at least one. At 24 kHz it passes untouched.
pub(super) fn to_24k(mono: Vec<f32>, rate: u32) -> Result<Vec<f32>, ClipError> {
    if rate == SAMPLE_RATE {
        return Ok(mono);
    }
    let refused = |reason: String| ClipError::Unsupported(format!("resampling from {rate} Hz: {reason}"));
    let mut resampler = Fft::<f32>::new(rate as usize, SAMPLE_RATE as usize, block(rate), 1, FixedSync::Both)
        .map_err(|error| refused(error.to_string()))?;
    let input = InterleavedSlice::new(&mono, 1, mono.len()).map_err(|error| refused(error.to_string()))?;
    let output = resampler.process_all(&input, mono.len(), None).map_err(|error| refused(error.to_string()))?;
    let mut samples = output.take_data();
    samples.resize(resampled_len(mono.len(), rate), 0.0);
    Ok(samples)
}

/// The block of source samples: it fits the ratio, and it is even. The filter's delay is half a block, so an odd one would
/// leave the recording half a source sample late.
fn block(rate: u32) -> usize {
    let even_unit = 2 * (rate / greatest_common_divisor(rate, SAMPLE_RATE)) as usize;
    MIN_BLOCK.next_multiple_of(even_unit)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// `round(len * 24000 / rate)`, at least 1.
pub(super) fn resampled_len(len: usize, rate: u32) -> usize {
    let rate = u64::from(rate);
    let rounded = (len as u64 * u64::from(SAMPLE_RATE) + rate / 2) / rate;
    usize::try_from(rounded).unwrap_or(usize::MAX).max(1)
}
