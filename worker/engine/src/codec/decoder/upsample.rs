//! Upsampling of latents from the frame rate to the rate of the convolutions: a transposed
//! convolution of each channel alone.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::numbers;

/// Weights of the upsampling.
pub(super) struct Upsample {
    /// Latents per frame, and half the kernel.
    stride: usize,
    /// Factors of a frame's latent for its own steps, `(stride, hidden)`; `next` holds those for
    /// the next frame's steps.
    own: Vec<f32>,
    next: Vec<f32>,
}

impl Upsample {
    /// Reads `weight (hidden, 1, 2 * stride)`.
    pub(super) fn load(hidden: usize, stride: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let weight = numbers(&vb.pp("conv"), "weight", &[hidden, 1, 2 * stride])?;
        let tap = |step: usize| weight.iter().skip(step).step_by(2 * stride).copied();
        Ok(Self {
            stride,
            own: (0..stride).flat_map(tap).collect(),
            next: (stride..2 * stride).flat_map(tap).collect(),
        })
    }

    /// Returns the number of latents per frame.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        2 * size_of_val(self.own.as_slice())
    }

    /// Upsamples one signal's `x (frames, hidden)` to `y (frames * stride, hidden)`, after the
    /// latent `previous (hidden)`.
    pub(super) fn forward(&self, previous: &mut [f32], x: &[f32], y: &mut [f32]) {
        let hidden = previous.len();
        for (x, y) in x.chunks_exact(hidden).zip(y.chunks_exact_mut(self.stride * hidden)) {
            let taps = self.own.chunks_exact(hidden).zip(self.next.chunks_exact(hidden));
            for (y, (own, next)) in y.chunks_exact_mut(hidden).zip(taps) {
                for (channel, y) in y.iter_mut().enumerate() {
                    *y = x[channel] * own[channel] + previous[channel] * next[channel];
                }
            }
            previous.copy_from_slice(x);
        }
    }
}
