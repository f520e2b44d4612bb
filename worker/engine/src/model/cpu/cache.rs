//! Keys and values of every slot, in the order in which attention reads them.

use crate::model::TransformerConfig;
use crate::model::backend_prefix::PackedPrefix;
use csm_kernels::attention::{BLOCK, write_key};

/// Keys and values of one transformer for all slots. The system provides memory when a position is
/// first written.
pub(super) struct PackedKvCache {
    layers: Vec<PackedLayerCache>,
    slots: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Positions of a slot, rounded up to whole blocks.
    capacity: usize,
}

pub(super) struct PackedLayerCache {
    /// `(slots, kv_heads, capacity / 16, head_dim)` groups of sixteen positions.
    keys: Vec<[f32; BLOCK]>,
    /// `(slots, kv_heads, capacity, head_dim)`.
    values: Vec<f32>,
}

impl PackedKvCache {
    pub(super) fn new(config: &TransformerConfig, slots: usize, positions: usize) -> Self {
        let capacity = positions.next_multiple_of(BLOCK);
        let count = slots * config.kv_heads * capacity * config.head_dim;
        let layer = |_| PackedLayerCache { keys: vec![[0.0; BLOCK]; count / BLOCK], values: vec![0.0; count] };
        let layers = (0..config.layers).map(layer).collect();
        Self { layers, slots, kv_heads: config.kv_heads, head_dim: config.head_dim, capacity }
    }

    /// Returns the bytes when every slot's window is full.
    pub(super) fn bytes(&self) -> usize {
        2 * self.layers.len() * self.slots * self.kv_heads * self.capacity * self.head_dim * size_of::<f32>()
    }

    /// Writes the key and value of one position of one slot, `(kv_heads, head_dim)` each.
    pub(super) fn write(&mut self, layer: usize, slot: usize, position: usize, key: &[f32], value: &[f32]) {
        let size = self.capacity * self.head_dim;
        let layer = &mut self.layers[layer];
        let heads = key.chunks_exact(self.head_dim).zip(value.chunks_exact(self.head_dim));
        for (head, (key, value)) in heads.enumerate() {
            let start = (slot * self.kv_heads + head) * size;
            write_key(&mut layer.keys[start / BLOCK..][..size / BLOCK], position, key);
            layer.values[start + position * self.head_dim..][..self.head_dim].copy_from_slice(value);
        }
    }

    /// Returns the keys and values of one head of one slot.
    pub(super) fn head(&self, layer: usize, slot: usize, head: usize) -> (&[[f32; BLOCK]], &[f32]) {
        let size = self.capacity * self.head_dim;
        let start = (slot * self.kv_heads + head) * size;
        let layer = &self.layers[layer];
        (&layer.keys[start / BLOCK..][..size / BLOCK], &layer.values[start..][..size])
    }

    /// Copies the first `positions` of a slot.
    pub(super) fn save_prefix(&self, slot: usize, positions: usize) -> PackedPrefix {
        let mut prefix = PackedPrefix { keys: Vec::new(), values: Vec::new(), positions };
        for layer in 0..self.layers.len() {
            for head in 0..self.kv_heads {
                let (keys, values) = self.head(layer, slot, head);
                prefix.keys.extend_from_slice(&keys[..positions.div_ceil(BLOCK) * self.head_dim]);
                prefix.values.extend_from_slice(&values[..positions * self.head_dim]);
            }
        }
        prefix
    }

    /// Returns the bytes that [`PackedKvCache::save_prefix`] copies.
    pub(super) fn prefix_bytes(&self, positions: usize) -> usize {
        let floats = (positions.next_multiple_of(BLOCK) + positions) * self.head_dim;
        self.layers.len() * self.kv_heads * floats * size_of::<f32>()
    }

    /// Writes a prefix from [`PackedKvCache::save_prefix`] into a slot.
    pub(super) fn restore_prefix(&mut self, slot: usize, prefix: &PackedPrefix) {
        let size = self.capacity * self.head_dim;
        let groups = prefix.positions.div_ceil(BLOCK) * self.head_dim;
        let mut keys = prefix.keys.chunks_exact(groups.max(1));
        let mut values = prefix.values.chunks_exact((prefix.positions * self.head_dim).max(1));
        for layer in &mut self.layers {
            for head in 0..self.kv_heads {
                let start = (slot * self.kv_heads + head) * size;
                if let (Some(keys), Some(values)) = (keys.next(), values.next()) {
                    layer.keys[start / BLOCK..][..keys.len()].copy_from_slice(keys);
                    layer.values[start..][..values.len()].copy_from_slice(values);
                }
            }
        }
    }
}
