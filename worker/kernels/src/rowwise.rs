//! Activations, norms and biases over whole rows, between the matrix products of the codec and of
//! SilentCipher.

use crate::math::{LANES, exp, sum_lanes};
use crate::simd_fn;

/// Sums that stay in registers: the width of a head of the released codec.
const WIDE: usize = 4 * LANES;

/// Returns half the complementary error function of `x / sqrt(2)`, for `x >= 0`. The result is the
/// probability of a normal number above `x`, within 1e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
fn upper_tail(x: f32) -> f32 {
    let t = 1.0 / (0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2).mul_add(x, 1.0);
    let mut sum = 1.061_405_4_f32;
    for term in [-1.453_152_f32, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum.mul_add(t, term);
    }
    0.5 * t * sum * exp(-0.5 * x * x)
}

/// Sums `f` over a row, in a fixed order.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            sums[lane] += f(chunk[lane]);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += f(*value);
    }
    sum_lanes(sums)
}

simd_fn! {
    /// Computes `y = x` if `x` is positive, else `y = e^x - 1`.
    pub fn elu(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            let below = exp(x) - 1.0;
            *y = if x > 0.0 { x } else { below };
        }
    }

    /// Computes `x += bias`, the bias repeated row by row.
    pub fn add_bias(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, bias) in row.iter_mut().zip(bias) {
                *x += bias;
            }
        }
    }

    /// Computes `x += y * scale`, the scale repeated row by row.
    pub fn add_scaled(x: &mut [f32], y: &[f32], scale: &[f32]) {
        for (x, y) in x.chunks_exact_mut(scale.len()).zip(y.chunks_exact(scale.len())) {
            for ((x, y), scale) in x.iter_mut().zip(y).zip(scale) {
                *x = y.mul_add(*scale, *x);
            }
        }
    }

    /// Multiplies `x` by the normal distribution function of `x`, in place.
    pub fn gelu(x: &mut [f32]) {
        for x in x {
            let tail = upper_tail(x.abs());
            *x *= if *x > 0.0 { 1.0 - tail } else { tail };
        }
    }

    /// Normalises each row of `x` to mean 0 and deviation 1, then multiplies by `weight` and adds
    /// `bias`.
    pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let mean = sum(x, |x| x) / width as f32;
            let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
            let scale = 1.0 / (variance + eps).sqrt();
            for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = ((x - mean) * scale).mul_add(*weight, *bias);
            }
        }
    }

    /// Turns scores, first multiplied by `scale`, into weights that sum to one, in place.
    pub fn softmax(scores: &mut [f32], scale: f32) {
        let largest = scores.iter().fold(f32::NEG_INFINITY, |largest, score| largest.max(*score));
        for score in scores.iter_mut() {
            *score = exp((*score - largest) * scale);
        }
        let total = 1.0 / sum(scores, |weight| weight);
        for score in scores.iter_mut() {
            *score *= total;
        }
    }

    /// Rotates each head of `x` (heads * head_dim, one row) by the angles of one position. `cos`
    /// and `sin` have half a head's width; the first half of a head turns with its second.
    pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
        for head in x.chunks_exact_mut(2 * cos.len()) {
            let (first, second) = head.split_at_mut(cos.len());
            for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*first, *second) = (*first * cos - *second * sin, *first * sin + *second * cos);
            }
        }
    }

    /// Computes the dot products of `query (head_dim)` with `scores.len()` keys; `keys (head_dim,
    /// window)`.
    pub fn dot_all(query: &[f32], keys: &[f32], scores: &mut [f32]) {
        let window = keys.len() / query.len();
        scores.fill(0.0);
        for (query, keys) in query.iter().zip(keys.chunks_exact(window)) {
            for (score, key) in scores.iter_mut().zip(keys) {
                *score = key.mul_add(*query, *score);
            }
        }
    }

    /// Sums the first `weights.len()` rows of `values (window, head_dim)`, each times its weight.
    pub fn mix(weights: &[f32], values: &[f32], out: &mut [f32]) {
        let width = out.len();
        let (whole, rest) = out.as_chunks_mut::<WIDE>();
        let begin = WIDE * whole.len();
        for (index, out) in whole.iter_mut().enumerate() {
            let mut sums = [0.0; WIDE];
            for (weight, values) in weights.iter().zip(values.chunks_exact(width)) {
                let values = &values[WIDE * index..WIDE * (index + 1)];
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = value.mul_add(*weight, *sum);
                }
            }
            *out = sums;
        }
        rest.fill(0.0);
        for (weight, values) in weights.iter().zip(values.chunks_exact(width)) {
            for (out, value) in rest.iter_mut().zip(&values[begin..]) {
                *out = value.mul_add(*weight, *out);
            }
        }
    }
    /// Computes `out = (value + bias[0]) * sigmoid(gate + bias[1])`.
    pub fn gated(values: &[f32], gates: &[f32], bias: [f32; 2], out: &mut [f32]) {
        for ((out, value), gate) in out.iter_mut().zip(values).zip(gates) {
            *out = (value + bias[0]) / (1.0 + exp(-(gate + bias[1])));
        }
    }
}
