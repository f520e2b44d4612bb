//! Prefixes: keys and values of a slot's first positions, in the form of each forward pass.

use candle_core::Tensor;
use csm_kernels::attention::BLOCK;

/// Keys and values of a slot's first positions.
pub(super) enum BackendPrefix {
    Cpu(PackedPrefix),
    Tensor(TensorPrefix),
}

impl BackendPrefix {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Cpu(prefix) => prefix.bytes(),
            Self::Tensor(prefix) => prefix.bytes(),
        }
    }
}

/// Keys and values of every layer, as the CPU's pass saves them.
pub(super) struct PackedPrefix {
    pub(super) keys: Vec<[f32; BLOCK]>,
    pub(super) values: Vec<f32>,
    pub(super) positions: usize,
}

impl PackedPrefix {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.keys) + size_of_val(&*self.values)
    }
}

/// Keys and values of every layer, as the pass on tensors saves them.
pub(super) struct TensorPrefix {
    pub(super) layers: Vec<(Tensor, Tensor)>,
}

impl TensorPrefix {
    pub(super) fn bytes(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.layers.iter().map(|(keys, values)| of(keys) + of(values)).sum()
    }
}
