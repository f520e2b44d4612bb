//! Seeded noise by counter: element `i` of a tensor depends on the tensor's name and on `i` alone.
//!
//! The weights are therefore the same in both layouts, in any order of writing and on any machine.
//! A tensor of 500 MB is made in one pass that the compiler vectorises.

use half::bf16;
use half::slice::HalfFloatSliceExt;
use safetensors::Dtype;

/// Seed of all weights; another value changes every weight of every random model.
const SEED: u64 = 0x0043_534d_464c_4545;
/// Elements made at a time, so that they stay in the first-level cache.
const CHUNK: usize = 4096;

/// Content of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fill {
    /// The same value everywhere.
    Constant(f32),
    /// Values spread evenly around `mean` with the standard deviation `std`.
    Noise { mean: f32, std: f32 },
    /// Noise in runs of `taps` that each sum to zero: a convolution that passes no constant offset.
    NoOffset { std: f32, taps: usize },
}

/// Returns the little-endian bytes of `len` elements of the tensor `name`: bf16 if `dtype` is BF16,
/// else f32.
pub(super) fn bytes(name: &str, fill: Fill, len: usize, dtype: Dtype) -> Vec<u8> {
    let key = key(name);
    let mut out = Vec::with_capacity(len * if dtype == Dtype::BF16 { 2 } else { 4 });
    let chunk = match fill {
        Fill::NoOffset { taps, .. } => CHUNK - CHUNK % taps,
        _ => CHUNK,
    };
    let mut values = vec![0f32; chunk];
    let mut halves = vec![bf16::ZERO; chunk];
    for start in (0..len).step_by(chunk) {
        let values = &mut values[..chunk.min(len - start)];
        fill_from(values, key, start, fill);
        if dtype == Dtype::BF16 {
            let halves = &mut halves[..values.len()];
            halves.convert_from_f32_slice(values);
            out.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
        } else {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    out
}

fn fill_from(values: &mut [f32], key: u64, start: usize, fill: Fill) {
    match fill {
        Fill::Constant(value) => values.fill(value),
        Fill::Noise { mean, std } => noise(values, key, start, mean, std),
        Fill::NoOffset { std, taps } => {
            noise(values, key, start, 0.0, std);
            for run in values.chunks_mut(taps) {
                let mean = run.iter().sum::<f32>() / taps as f32;
                run.iter_mut().for_each(|value| *value -= mean);
            }
        }
    }
}

fn noise(values: &mut [f32], key: u64, start: usize, mean: f32, std: f32) {
    // A uniform draw of width 1 has the standard deviation 1/sqrt(12).
    let width = std * 12f32.sqrt();
    for (offset, value) in values.iter_mut().enumerate() {
        let draw = mix(key, (start + offset) as u32) >> 8;
        *value = mean + width * (draw as f32 * (1.0 / 16_777_216.0) - 0.5);
    }
}

/// Mixes the counter to 32 bits by xor-shift and multiply, with the key added before and between
/// the rounds.
fn mix(key: u64, counter: u32) -> u32 {
    let mut x = counter.wrapping_add(key as u32);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_add((key >> 32) as u32).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Returns the FNV-1a hash of the name, started from the seed.
fn key(name: &str) -> u64 {
    name.bytes()
        .fold(SEED ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
