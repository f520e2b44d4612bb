//! Keys and values that a stack of layers has read, and the positions of a pass.

use candle_core::{DType, Device, Result, Tensor};

use crate::model::TransformerConfig;

/// Keys and values of one layer, `(slots, kv_heads, capacity, head_dim)` each.
pub(super) struct TensorLayerCache {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// Keys and values of one transformer for all slots.
pub(super) struct TensorKvCache {
    pub(super) layers: Vec<TensorLayerCache>,
}

/// Positions of the rows of a forward pass.
pub(super) enum BatchPositions {
    /// `t` positions of one slot, from `start` on.
    Run { slot: usize, start: usize },
    /// A position for each slot.
    Rows {
        /// Position of each slot, `(slots)`.
        positions: Tensor,
        /// Mask `(slots, 1, 1, capacity)`: 0 if a slot may see the position, otherwise -inf.
        mask: Tensor,
    },
    /// `t` positions from `start` on, the same for every slot.
    Together { start: usize },
}

/// Cosines and sines of the positions of one pass, `(t, head_dim / 2)` or `(rows, 1, head_dim /
/// 2)`.
pub(super) struct Rotation {
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

impl Rotation {
    /// Rotates `x (rows, heads, t, head_dim)`.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope(&x.contiguous()?, &self.cos, &self.sin)
    }
}

impl BatchPositions {
    /// Places each slot at its own position of a window of `capacity`.
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

    /// Returns the positions that each slot has room for.
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

    /// Returns the bytes of a copy of so many positions.
    pub(super) fn prefix_bytes(&self, positions: usize) -> usize {
        let of = |tensor: &Tensor| {
            tensor.elem_count() / (tensor.dims()[0] * tensor.dims()[2]) * tensor.dtype().size_in_bytes()
        };
        self.layers.iter().map(|layer| (of(&layer.keys) + of(&layer.values)) * positions).sum()
    }

    /// Writes a copied prefix into a slot.
    pub(super) fn restore_prefix(&self, slot: usize, layers: &[(Tensor, Tensor)]) -> Result<()> {
        for (layer, (keys, values)) in self.layers.iter().zip(layers) {
            layer.keys.narrow(0, slot, 1)?.slice_set(keys, 2, 0)?;
            layer.values.narrow(0, slot, 1)?.slice_set(values, 2, 0)?;
        }
        Ok(())
    }
}
