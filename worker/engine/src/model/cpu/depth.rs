//! The depth decoder: from each row's hidden state and first code to the other 31 codes of its
//! frame.
//!
//! The decoder reads `projection(row)` of every code that it has drawn. The rows are known at load,
//! so the product is computed once for the whole table. Every frame then needs only one projection,
//! that of the hidden state.

use candle_core::{DType, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};
use half::bf16;

use super::cache::PackedKvCache;
use super::embedding_table::EmbeddingTable;
use super::stack::{PackedStack, RowPosition, matrix};
use crate::model::csm_weights::{ModelPart, Weights};
use crate::model::net::{FrameSampler, Row};
use crate::model::{CsmConfig, ModelError, WeightFormat};
use crate::weights::WeightsError;
use csm_kernels::{Matrix, Pool};

pub(super) struct PackedDepth {
    /// Projection of the backbone's hidden state, `(depth hidden, backbone hidden)`.
    projection: Matrix,
    /// Projected table, `(31 * audio_vocab, depth hidden)`: row `k * audio_vocab + code`. The last
    /// codebook is never read back.
    rows: EmbeddingTable,
    stack: PackedStack,
    /// Heads, `(audio_vocab, depth hidden)` each: head `k - 1` is for codebook `k`.
    heads: Vec<Matrix>,
    /// Keys and values, one slot per row of the batch, overwritten by every frame.
    kv: PackedKvCache,
    audio_vocab: usize,
}

impl PackedDepth {
    /// Loads the decoder. `embedding`: its own audio table, `(32 * audio_vocab, backbone hidden)`.
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        format: WeightFormat,
        pool: &Pool,
        embedding: &Tensor,
        slots: usize,
    ) -> Result<Self, WeightsError> {
        let projection = weights.projection()?;
        let rows = project(pool, &projection, embedding, config.audio_vocab)?;
        let rows = EmbeddingTable::new(&rows)?;
        let stack = PackedStack::load(weights, config, ModelPart::Depth, format, pool, CODEBOOKS)?;
        let stored = weights.code_heads()?;
        let heads = (0..CODEBOOKS - 1)
            .map(|index| matrix(format, pool, &stored.get(index)?.t()?.contiguous()?))
            .collect::<Result<_, WeightsError>>()?;
        let kv = PackedKvCache::new(&config.depth, slots, CODEBOOKS);
        let projection = matrix(format, pool, &projection)?;
        Ok(Self { projection, rows, stack, heads, kv, audio_vocab: config.audio_vocab })
    }

    /// Returns the bytes of the matrices.
    pub(super) fn bytes(&self) -> usize {
        self.stack.bytes() + self.projection.bytes() + self.heads.iter().map(Matrix::bytes).sum::<usize>()
    }

    /// Returns the bytes that one frame reads: each matrix counts as often as it is read.
    pub(super) fn bytes_per_frame(&self) -> usize {
        (CODEBOOKS - 1) * self.stack.bytes() + self.bytes() - self.stack.bytes()
    }

    pub(super) fn table_bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.kv.bytes()
    }

    /// Completes `frames`, whose first codes are drawn. `hidden`: `(rows, backbone hidden)`.
    ///
    /// Position 0 is the hidden state; position `k + 1` is code `k`.
    pub(super) fn frames(
        &mut self,
        pool: &Pool,
        hidden: &[f32],
        rows: &[Row],
        frames: &mut [Frame],
        sampler: &mut FrameSampler,
    ) -> Result<(), ModelError> {
        let (count, width) = (rows.len(), self.stack.hidden());
        let mut states = vec![0.0; count * width];
        self.projection.apply(pool, hidden, self.projection.width(), count, &mut states);
        // The first pass takes two positions of every row.
        let mut entries = Vec::with_capacity(2 * count);
        let mut x = vec![0.0; 2 * count * width];
        for (row, (state, x)) in states.chunks_exact(width).zip(x.chunks_exact_mut(2 * width)).enumerate() {
            entries.extend([0, 1].map(|position| RowPosition { slot: row, position }));
            x[..width].copy_from_slice(state);
            self.rows.add(frames[row][0] as usize, &mut x[width..]);
        }
        let mut normed = vec![0.0; count * width];
        let mut logits = vec![0.0; count * self.audio_vocab];
        for codebook in 1..CODEBOOKS {
            self.stack.forward(pool, &mut self.kv, &entries, &mut x);
            let each = x.len() / count;
            for (x, normed) in x.chunks_exact(each).zip(normed.chunks_exact_mut(width)) {
                self.stack.norm(&x[each - width..], normed);
            }
            self.heads[codebook - 1].apply(pool, &normed, width, count, &mut logits);
            let codes = sampler.draw(pool, rows, codebook, &logits)?;
            for (frame, code) in frames.iter_mut().zip(codes) {
                frame[codebook] = code;
            }
            if codebook + 1 < CODEBOOKS {
                x = vec![0.0; count * width];
                for (frame, x) in frames.iter().zip(x.chunks_exact_mut(width)) {
                    self.rows.add(codebook * self.audio_vocab + frame[codebook] as usize, x);
                }
                entries = (0..count).map(|row| RowPosition { slot: row, position: codebook + 1 }).collect();
            }
        }
        Ok(())
    }
}

/// Computes `projection` of every row but the last codebook's, in the table's own number format.
fn project(pool: &Pool, projection: &Tensor, table: &Tensor, vocab: usize) -> Result<Tensor, WeightsError> {
    let projection = matrix(WeightFormat::F32, pool, projection)?;
    let (out, width) = (projection.out(), projection.width());
    let mut rows = Vec::new();
    let mut half_rows: Vec<bf16> = Vec::new();
    for codebook in 0..CODEBOOKS - 1 {
        let part = table.narrow(0, codebook * vocab, vocab)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut made = vec![0.0; vocab * out];
        projection.apply(pool, &part, width, vocab, &mut made);
        match table.dtype() {
            DType::BF16 => half_rows.extend(made.iter().map(|value| bf16::from_f32(*value))),
            _ => rows.extend(made),
        }
    }
    let shape = ((CODEBOOKS - 1) * vocab, out);
    let device = table.device();
    Ok(match table.dtype() {
        DType::BF16 => Tensor::from_vec(half_rows, shape, device)?,
        _ => Tensor::from_vec(rows, shape, device)?,
    })
}
