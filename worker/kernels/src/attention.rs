//! Attention of one group of query heads over the keys and values of the head they share.
//!
//! Keys lie in blocks of sixteen positions, with the positions side by side, so that sixteen scores
//! are computed at once. Values lie row by row. Positions from `len` on are never used, so the keys
//! and values of an earlier utterance have no effect.

use super::math::{LANES, exp, sum_lanes};
use super::simd_fn;

/// Positions of a block of keys.
pub const BLOCK: usize = LANES;

/// Writes one position's key into the blocks of its head, `(capacity / 16, head_dim)` groups of
/// sixteen.
pub fn write_key(keys: &mut [[f32; BLOCK]], position: usize, key: &[f32]) {
    let block = &mut keys[position / BLOCK * key.len()..][..key.len()];
    for (group, value) in block.iter_mut().zip(key) {
        group[position % BLOCK] = *value;
    }
}

simd_fn! {
    /// Computes `out = softmax(query . keys / sqrt(head_dim)) . values` over positions `0..len`,
    /// for each head of `query`.
    ///
    /// `query` and `out`: `(group, head_dim)`. `values`: `(capacity, head_dim)`. `scores`: scratch,
    /// at least `len` rounded up to blocks.
    pub fn attend(
        query: &[f32], keys: &[[f32; BLOCK]], values: &[f32], len: usize, head_dim: usize, scores: &mut [f32], out: &mut [f32],
    ) {
        let blocks = len.div_ceil(BLOCK);
        let scores = &mut scores.as_chunks_mut::<BLOCK>().0[..blocks];
        let scale = 1.0 / (head_dim as f32).sqrt();
        for (query, out) in query.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)) {
            let mut largest = [f32::NEG_INFINITY; BLOCK];
            for (index, (scores, keys)) in scores.iter_mut().zip(keys.chunks_exact(head_dim)).enumerate() {
                let mut dot = [0.0_f32; BLOCK];
                for (keys, value) in keys.iter().zip(query) {
                    for lane in 0..BLOCK {
                        dot[lane] = keys[lane].mul_add(*value, dot[lane]);
                    }
                }
                for lane in 0..BLOCK {
                    let seen = index * BLOCK + lane < len;
                    scores[lane] = if seen { dot[lane] * scale } else { f32::NEG_INFINITY };
                    largest[lane] = if scores[lane] > largest[lane] { scores[lane] } else { largest[lane] };
                }
            }
            let largest = largest.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
            let mut total = [0.0_f32; BLOCK];
            for (index, scores) in scores.iter_mut().enumerate() {
                for lane in 0..BLOCK {
                    let seen = index * BLOCK + lane < len;
                    scores[lane] = if seen { exp(scores[lane] - largest) } else { 0.0 };
                    total[lane] += scores[lane];
                }
            }
            let share = 1.0 / sum_lanes(total);
            for (column, out) in out.chunks_mut(BLOCK).enumerate() {
                let mut mixed = [0.0_f32; BLOCK];
                let width = out.len();
                for (weight, values) in scores.as_flattened()[..len].iter().zip(values.chunks_exact(head_dim)) {
                    let values = &values[column * BLOCK..][..width];
                    if let Some(values) = values.first_chunk::<BLOCK>() {
                        for lane in 0..BLOCK {
                            mixed[lane] = values[lane].mul_add(*weight, mixed[lane]);
                        }
                    } else {
                        for (mixed, value) in mixed.iter_mut().zip(values) {
                            *mixed = value.mul_add(*weight, *mixed);
                        }
                    }
                }
                for (out, mixed) in out.iter_mut().zip(mixed) {
                    *out = mixed * share;
                }
            }
        }
    }

    /// Rotates each head of `x` in the rotate-half form by one position's angles, `(head_dim / 2)`
    /// cosines and sines.
    pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
        for head in x.chunks_exact_mut(2 * cos.len()) {
            let (low, high) = head.split_at_mut(cos.len());
            for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                let (a, b) = (*low, *high);
                *low = a * cos - b * sin;
                *high = b * cos + a * sin;
            }
        }
    }
}
