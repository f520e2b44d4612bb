//! Stack of Llama layers with its keys and values, shared by backbone and depth decoder.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, silu};

use super::attention::Attention;
use super::cache::{BatchPositions, Rotation, TensorKvCache};
use super::linear::Linear;
use crate::model::csm_weights::{ModelPart, Weights};
use crate::model::rope;
use crate::model::{CsmConfig, WeightFormat};
use crate::weights::WeightsError;

pub(super) struct TensorLayer {
    pub(super) attention_norm: Tensor,
    pub(super) attention: Attention,
    pub(super) mlp_norm: Tensor,
    /// Gate and up projections, gate rows first.
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

/// Stack of layers, with its final norm and rotary tables.
pub(super) struct TensorStack {
    pub(super) layers: Vec<TensorLayer>,
    pub(super) norm: Tensor,
    pub(super) eps: f32,
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

impl TensorStack {
    /// Loads the layers of one transformer. The rotary tables cover `positions` and one more, for
    /// rows that take no part.
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        part: ModelPart,
        format: WeightFormat,
        dtype: DType,
        device: &Device,
        positions: usize,
    ) -> std::result::Result<Self, WeightsError> {
        let part_config = part.config(config);
        let place = |tensor: &Tensor| -> Result<Tensor> { tensor.to_dtype(dtype)?.to_device(device) };
        let linear = |tensor: &Tensor| Linear::new(format, dtype, device, tensor);
        let mut layers = Vec::with_capacity(part_config.layers);
        for index in 0..part_config.layers {
            let layer = weights.layer(part, index)?;
            layers.push(TensorLayer {
                attention_norm: place(&layer.attention_norm)?,
                attention: Attention::new(part_config, linear(&layer.qkv)?, linear(&layer.attention_out)?),
                mlp_norm: place(&layer.mlp_norm)?,
                gate_up: linear(&layer.gate_up)?,
                down: linear(&layer.down)?,
            });
        }
        let (cos, sin) = rope::tables(part_config, positions + 1);
        let table = |values: Vec<f32>| -> Result<Tensor> {
            place(&Tensor::from_vec(values, (positions + 1, part_config.head_dim / 2), &Device::Cpu)?)
        };
        #[expect(clippy::cast_possible_truncation, reason = "a norm's epsilon is far inside f32")]
        let eps = part_config.norm_eps as f32;
        Ok(Self { layers, norm: place(&weights.final_norm(part)?)?, eps, cos: table(cos)?, sin: table(sin)? })
    }

    /// Returns the bytes of the matrices, which every pass reads once.
    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.attention.bytes() + layer.gate_up.bytes() + layer.down.bytes()).sum()
    }

    /// Applies the final norm.
    pub(super) fn norm(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(&x.contiguous()?, &self.norm, self.eps)
    }

    /// Takes `x (rows, t, hidden)` through all layers.
    pub(super) fn forward(&self, x: &Tensor, place: &BatchPositions, cache: &TensorKvCache) -> Result<Tensor> {
        let rotation = self.rotation(place, x.dim(1)?)?;
        let mut x = x.contiguous()?;
        for (layer, cache) in self.layers.iter().zip(&cache.layers) {
            let normed = rms_norm(&x, &layer.attention_norm, self.eps)?;
            x = (x + layer.attention.forward(&normed, &rotation, place, cache)?)?;
            let normed = rms_norm(&x, &layer.mlp_norm, self.eps)?;
            let both = layer.gate_up.forward(&normed)?;
            let width = both.dim(D::Minus1)? / 2;
            let gate = both.narrow(D::Minus1, 0, width)?.contiguous()?;
            let gated = (silu(&gate)? * both.narrow(D::Minus1, width, width)?)?;
            x = (x + layer.down.forward(&gated)?)?;
        }
        Ok(x)
    }

    fn rotation(&self, place: &BatchPositions, t: usize) -> Result<Rotation> {
        let part = |table: &Tensor| match place {
            BatchPositions::Run { start, .. } | BatchPositions::Together { start } => table.narrow(0, *start, t),
            BatchPositions::Rows { positions, .. } => table.index_select(positions, 0)?.unsqueeze(1),
        };
        Ok(Rotation { cos: part(&self.cos)?, sin: part(&self.sin)? })
    }
}
