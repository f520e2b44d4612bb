//! Stack of Llama layers over entries, shared by backbone and depth decoder.

use std::cell::RefCell;

use candle_core::{DType, Tensor};

use super::cache::PackedKvCache;
use crate::model::csm_weights::{ModelPart, Weights};
use crate::model::rope;
use crate::model::{CsmConfig, WeightFormat};
use crate::weights::WeightsError;
use csm_kernels::attention::{BLOCK, attend, rotate};
use csm_kernels::math::{add, rms_norm, swiglu};
use csm_kernels::{Matrix, Pool};

/// Elements of the gate that one task takes.
const GATE_PIECE: usize = 1024;

/// Slot and position of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowPosition {
    pub(super) slot: usize,
    pub(super) position: usize,
}

struct PackedLayer {
    attention_norm: Vec<f32>,
    qkv: Matrix,
    attention_out: Matrix,
    mlp_norm: Vec<f32>,
    gate_up: Matrix,
    down: Matrix,
}

/// Stack of layers. Keys and values of earlier positions are in the cache.
pub(super) struct PackedStack {
    layers: Vec<PackedLayer>,
    norm: Vec<f32>,
    eps: f32,
    /// Cosines `(positions, head_dim / 2)`; `sin` has the same shape.
    cos: Vec<f32>,
    sin: Vec<f32>,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Packs a `(out, width)` tensor into a matrix, on as many threads as `pool` has.
pub(super) fn matrix(format: WeightFormat, pool: &Pool, weight: &Tensor) -> Result<Matrix, WeightsError> {
    let (out, width) = weight.dims2()?;
    Ok(Matrix::new(format, &vector(weight)?, out, width, pool.threads())?)
}

fn vector(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

impl PackedStack {
    /// Loads the layers of one transformer. `positions`: length of the rotary tables.
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        part: ModelPart,
        format: WeightFormat,
        pool: &Pool,
        positions: usize,
    ) -> Result<Self, WeightsError> {
        let part_config = part.config(config);
        let matrix = |weight: &Tensor| matrix(format, pool, weight);
        let mut layers = Vec::with_capacity(part_config.layers);
        for index in 0..part_config.layers {
            let layer = weights.layer(part, index)?;
            layers.push(PackedLayer {
                attention_norm: vector(&layer.attention_norm)?,
                qkv: matrix(&layer.qkv)?,
                attention_out: matrix(&layer.attention_out)?,
                mlp_norm: vector(&layer.mlp_norm)?,
                gate_up: matrix(&layer.gate_up)?,
                down: matrix(&layer.down)?,
            });
        }
        let (cos, sin) = rope::tables(part_config, positions);
        #[expect(clippy::cast_possible_truncation, reason = "a norm's epsilon is far inside f32")]
        let eps = part_config.norm_eps as f32;
        Ok(Self {
            layers,
            norm: vector(&weights.final_norm(part)?)?,
            eps,
            cos,
            sin,
            hidden: part_config.hidden,
            heads: part_config.heads,
            kv_heads: part_config.kv_heads,
            head_dim: part_config.head_dim,
        })
    }

    pub(super) fn hidden(&self) -> usize {
        self.hidden
    }

    /// Returns the bytes of the matrices, which every [`PackedStack::forward`] reads once.
    pub(super) fn bytes(&self) -> usize {
        let of =
            |layer: &PackedLayer| [&layer.qkv, &layer.attention_out, &layer.gate_up, &layer.down].map(Matrix::bytes);
        self.layers.iter().flat_map(of).sum()
    }

    /// Applies the final norm to one row.
    pub(super) fn norm(&self, x: &[f32], y: &mut [f32]) {
        rms_norm(x, &self.norm, self.eps, y);
    }

    /// Takes `x (entries, hidden)` through all layers in place. Entries of one slot come in
    /// ascending positions, directly after those in the cache.
    pub(super) fn forward(&self, pool: &Pool, cache: &mut PackedKvCache, entries: &[RowPosition], x: &mut [f32]) {
        let (rows, head_dim) = (entries.len(), self.head_dim);
        let attended = self.heads * head_dim;
        let mut normed = vec![0.0; rows * self.hidden];
        let mut qkv = vec![0.0; rows * (attended + 2 * self.kv_heads * head_dim)];
        let mut mixed = vec![0.0; rows * attended];
        let intermediate = self.layers.first().map_or(0, |layer| layer.down.width());
        let mut both = vec![0.0; rows * 2 * intermediate];
        let mut gated = vec![0.0; rows * intermediate];
        let mut sum = vec![0.0; rows * self.hidden];
        for (index, layer) in self.layers.iter().enumerate() {
            self.norm_rows(x, &layer.attention_norm, &mut normed);
            layer.qkv.apply(pool, &normed, self.hidden, rows, &mut qkv);
            self.place(index, cache, entries, &mut qkv);
            self.attention(pool, index, cache, entries, &qkv, &mut mixed);
            layer.attention_out.apply(pool, &mixed, attended, rows, &mut sum);
            add(x, &sum);
            self.norm_rows(x, &layer.mlp_norm, &mut normed);
            layer.gate_up.apply(pool, &normed, self.hidden, rows, &mut both);
            gate(pool, &both, intermediate, &mut gated);
            layer.down.apply(pool, &gated, intermediate, rows, &mut sum);
            add(x, &sum);
        }
    }

    fn norm_rows(&self, x: &[f32], weight: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(self.hidden).zip(y.chunks_exact_mut(self.hidden)) {
            rms_norm(x, weight, self.eps, y);
        }
    }

    /// Rotates queries and keys, and writes keys and values to the cache.
    fn place(&self, layer: usize, cache: &mut PackedKvCache, entries: &[RowPosition], qkv: &mut [f32]) {
        let (half, turned) = (self.head_dim / 2, (self.heads + self.kv_heads) * self.head_dim);
        let width = turned + self.kv_heads * self.head_dim;
        for (entry, qkv) in entries.iter().zip(qkv.chunks_exact_mut(width)) {
            let angles = entry.position * half..(entry.position + 1) * half;
            let (turning, value) = qkv.split_at_mut(turned);
            rotate(turning, &self.cos[angles.clone()], &self.sin[angles]);
            cache.write(layer, entry.slot, entry.position, &turning[self.heads * self.head_dim..], value);
        }
    }

    fn attention(
        &self,
        pool: &Pool,
        layer: usize,
        cache: &PackedKvCache,
        entries: &[RowPosition],
        qkv: &[f32],
        mixed: &mut [f32],
    ) {
        thread_local! {
            static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        let (head_dim, kv_heads) = (self.head_dim, self.kv_heads);
        let width = (self.heads + 2 * kv_heads) * head_dim;
        let group = self.heads / kv_heads * head_dim;
        pool.run_chunks(mixed, group, &|index, out| {
            let (row, head) = (index / kv_heads, index % kv_heads);
            let RowPosition { slot, position } = entries[row];
            let (keys, values) = cache.head(layer, slot, head);
            let query = &qkv[row * width + head * group..][..group];
            SCORES.with_borrow_mut(|scores| {
                let len = position + 1;
                scores.resize(scores.len().max(len.next_multiple_of(BLOCK)), 0.0);
                attend(query, keys, values, len, head_dim, scores, out);
            });
        });
    }
}

/// Computes `gated = silu(gate) * up`. Rows of `both` hold the gate half first.
fn gate(pool: &Pool, both: &[f32], width: usize, gated: &mut [f32]) {
    // A piece lies within one row.
    let piece = if width.is_multiple_of(GATE_PIECE) { GATE_PIECE } else { width };
    pool.run_chunks(gated, piece, &|index, gated| {
        let (row, column) = (index * piece / width, index * piece % width);
        let (gate, up) = both[row * 2 * width..][..2 * width].split_at(width);
        swiglu(&gate[column..][..piece], &up[column..][..piece], gated);
    });
}
