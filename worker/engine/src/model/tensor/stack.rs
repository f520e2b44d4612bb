//! A stack of Llama layers, and the keys and values it has seen: what backbone and depth decoder have in common.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm, silu};

use super::attention::Attention;
use super::linear::Linear;
use crate::model::csm_weights::{ModelPart, Weights};
use crate::model::rope;
use crate::model::{CsmConfig, TransformerConfig, WeightFormat};
use crate::weights::WeightsError;

/// Keys and values of one layer, `(slots, kv_heads, capacity, head_dim)` each.
pub(super) struct TensorLayerCache {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// Keys and values of one transformer for all slots.
pub(super) struct TensorKvCache {
    pub(super) layers: Vec<TensorLayerCache>,
}

/// Where the rows of a forward pass stand.
pub(super) enum BatchPositions {
    /// `t` positions of one slot.
    Run { slot: usize, start: usize },
    /// One position of every slot, each its own.
    Rows {
        /// `(slots)`.
        positions: Tensor,
        /// `(slots, 1, 1, capacity)`: 0 where a slot may look, -inf elsewhere.
        mask: Tensor,
    },
    /// `t` positions of every slot, the same for all.
    Together { start: usize },
}

pub(super) struct TensorLayer {
    pub(super) attention_norm: Tensor,
    pub(super) attention: Attention,
    pub(super) mlp_norm: Tensor,
    /// Gate rows first.
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

/// The stack.
pub(super) struct TensorStack {
    pub(super) layers: Vec<TensorLayer>,
    pub(super) norm: Tensor,
    pub(super) eps: f32,
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

/// Cosines and sines of the positions of one pass, `(t, head_dim / 2)` or `(rows, 1, head_dim / 2)`.
pub(super) struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    /// Rotates `x (rows, heads, t, head_dim)`.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope(&x.contiguous()?, &self.cos, &self.sin)
    }
}

impl BatchPositions {
    /// Each slot at its own position of a window of `capacity`.
    pub(super) fn rows(positions: &[usize], capacity: usize, device: &Device) -> Result<Self> {
        let slots = positions.len();
        let positions: Vec<_> = positions.iter().map(|&at| u32::try_from(at).unwrap_or(u32::MAX)).collect();
        let positions = Tensor::from_vec(positions, slots, device)?;
        let all = Tensor::arange(0, u32::try_from(capacity).unwrap_or(u32::MAX), device)?.reshape((1, capacity))?;
        let seen = all.broadcast_le(&positions.reshape((slots, 1))?)?;
        let none = Tensor::full(f32::NEG_INFINITY, (slots, capacity), device)?;
        let mask = seen.where_cond(&none.zeros_like()?, &none)?.reshape((slots, 1, 1, capacity))?;
        Ok(Self::Rows { positions, mask })
    }
}

impl TensorKvCache {
    pub(super) fn new(
        config: &TransformerConfig,
        slots: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let shape = (slots, config.kv_heads, capacity, config.head_dim);
        let layer = |_| {
            Ok(TensorLayerCache {
                keys: Tensor::zeros(shape, dtype, device)?,
                values: Tensor::zeros(shape, dtype, device)?,
            })
        };
        Ok(Self { layers: (0..config.layers).map(layer).collect::<Result<_>>()? })
    }

    /// Positions that each slot has room for.
    #[cfg(feature = "cuda")]
    pub(super) fn capacity(&self) -> Result<usize> {
        self.layers.first().map_or(Ok(0), |layer| layer.keys.dim(2))
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.layers.iter().map(|layer| of(&layer.keys) + of(&layer.values)).sum()
    }

    /// Copies the first positions of a slot.
    pub(super) fn save_prefix(&self, slot: usize, positions: usize) -> Result<Vec<(Tensor, Tensor)>> {
        let part = |tensor: &Tensor| tensor.narrow(0, slot, 1)?.narrow(2, 0, positions)?.force_contiguous();
        self.layers.iter().map(|layer| Ok((part(&layer.keys)?, part(&layer.values)?))).collect()
    }

    /// Bytes of such a copy.
    pub(super) fn prefix_bytes(&self, positions: usize) -> usize {
        let of = |tensor: &Tensor| {
            tensor.elem_count() / (tensor.dims()[0] * tensor.dims()[2]) * tensor.dtype().size_in_bytes()
        };
        self.layers.iter().map(|layer| (of(&layer.keys) + of(&layer.values)) * positions).sum()
    }

    /// Writes such a copy into a slot.
    pub(super) fn restore_prefix(&self, slot: usize, layers: &[(Tensor, Tensor)]) -> Result<()> {
        for (layer, (keys, values)) in self.layers.iter().zip(layers) {
            layer.keys.narrow(0, slot, 1)?.slice_set(keys, 2, 0)?;
            layer.values.narrow(0, slot, 1)?.slice_set(values, 2, 0)?;
        }
        Ok(())
    }
}

impl TensorStack {
    /// `positions`: how many the rotary tables cover; one more is there for rows that take no part.
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

    /// Bytes of the matrices, read once per pass.
    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.attention.bytes() + layer.gate_up.bytes() + layer.down.bytes()).sum()
    }

    /// The final norm.
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
