//! Rotary positions with Llama 3's frequency scaling, in the rotate-half form that all weights are normalised to.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope;

use super::{RopeConfig, TransformerConfig};

/// Cosines and sines of every position, `(positions, head_dim / 2)` each.
pub(super) struct Rope {
    cos: Tensor,
    sin: Tensor,
}

/// Cosines and sines of the positions of one forward pass.
pub(super) struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

/// Radians per position of each pair of a head.
///
/// Wavelengths above `original_max_positions / low_freq_factor` turn `factor` times slower, those below
/// `original_max_positions / high_freq_factor` as they were, those between by interpolation
/// (Llama 3.1; transformers' `_compute_llama3_parameters`).
pub(super) fn inverse_frequencies(config: &RopeConfig, head_dim: usize) -> Vec<f32> {
    let frequency = |pair: usize| {
        let plain = config.theta.powf(-((2 * pair) as f64) / head_dim as f64);
        let Some(scaling) = &config.scaling else { return plain };
        let wavelength = 2.0 * std::f64::consts::PI / plain;
        let turns = scaling.original_max_positions / wavelength;
        let smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
        let smooth = smooth.clamp(0.0, 1.0);
        (1.0 - smooth) * plain / scaling.factor + smooth * plain
    };
    #[expect(clippy::cast_possible_truncation, reason = "the tables are f32, as the reference's")]
    (0..head_dim / 2).map(|pair| frequency(pair) as f32).collect()
}

impl Rope {
    pub(super) fn new(config: &TransformerConfig, positions: usize, dtype: DType, device: &Device) -> Result<Self> {
        let pairs = config.head_dim / 2;
        let frequencies = Tensor::from_vec(inverse_frequencies(&config.rope, config.head_dim), (1, pairs), device)?;
        let counts = Tensor::arange(0, u32::try_from(positions).unwrap_or(u32::MAX), device)?
            .to_dtype(DType::F32)?
            .reshape((positions, 1))?;
        let angles = counts.broadcast_mul(&frequencies)?;
        Ok(Self { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }

    /// Positions `start..start + t`.
    pub(super) fn at(&self, start: usize, t: usize) -> Result<Rotation> {
        Ok(Rotation { cos: self.cos.narrow(0, start, t)?, sin: self.sin.narrow(0, start, t)? })
    }
}

impl Rotation {
    /// Rotates `x (rows, heads, t, head_dim)`, contiguous.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        rope(x, &self.cos, &self.sin)
    }
}
