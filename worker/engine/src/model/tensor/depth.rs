//! The depth decoder: from each slot's hidden state and first code to the other 31 codes of its
//! frame.
//!
//! The decoder reads `projection(row)` of every code that it has drawn. The rows are known at load,
//! so the product is computed once for the whole table. Every frame then needs only one projection,
//! that of the hidden state.

use candle_core::{DType, Tensor};
use csm_shared::audio::CODEBOOKS;

use super::cache::{BatchPositions, TensorKvCache};
use super::draw::TensorSampler;
use super::linear::Linear;
use super::stack::TensorStack;
use crate::model::csm_weights::{ModelPart, Weights};
use crate::model::net::FrameSampler;
use crate::model::{CsmConfig, ModelError, WeightFormat};
use crate::weights::WeightsError;

pub(super) struct TensorDepth {
    /// Projection of the backbone's hidden state.
    pub(super) projection: Linear,
    /// Projected table, `(31 * audio_vocab, depth hidden)`: row `k * audio_vocab + code`. The last
    /// codebook is never read back.
    pub(super) rows: Tensor,
    pub(super) stack: TensorStack,
    /// Heads of the codes: head `k - 1` is for codebook `k`.
    pub(super) heads: Vec<Linear>,
    pub(super) kv: TensorKvCache,
    audio_vocab: usize,
}

impl TensorDepth {
    /// Loads the decoder. `embedding`: its own audio table, `(32 * audio_vocab, backbone hidden)`,
    /// on its device.
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        format: WeightFormat,
        dtype: DType,
        embedding: &Tensor,
        slots: usize,
    ) -> Result<Self, WeightsError> {
        let device = embedding.device();
        let projection = weights.projection()?;
        let transposed = projection.to_dtype(dtype)?.to_device(device)?.t()?;
        let projected = (0..CODEBOOKS - 1)
            .map(|codebook| embedding.narrow(0, codebook * config.audio_vocab, config.audio_vocab)?.matmul(&transposed))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let stored = weights.code_heads()?;
        let heads = (0..CODEBOOKS - 1)
            .map(|index| Linear::new(format, dtype, device, &stored.get(index)?.t()?.contiguous()?))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            projection: Linear::new(format, dtype, device, &projection)?,
            rows: Tensor::cat(&projected, 0)?,
            stack: TensorStack::load(weights, config, ModelPart::Depth, format, dtype, device, CODEBOOKS)?,
            heads,
            kv: TensorKvCache::new(&config.depth, slots, CODEBOOKS, dtype, device)?,
            audio_vocab: config.audio_vocab,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.stack.bytes() + self.projection.bytes() + self.heads.iter().map(Linear::bytes).sum::<usize>()
    }

    /// Returns the bytes that one frame reads: each matrix counts as often as it is read.
    pub(super) fn bytes_per_frame(&self) -> usize {
        (CODEBOOKS - 1) * self.stack.bytes() + self.bytes() - self.stack.bytes()
    }

    pub(super) fn table_bytes(&self) -> usize {
        self.rows.elem_count() * self.rows.dtype().size_in_bytes()
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.kv.bytes()
    }

    /// Draws the other 31 codes. `hidden (slots, 1, backbone hidden)`, `first (slots)`.
    ///
    /// Position 0 is the hidden state; position `k + 1` is code `k`.
    pub(super) fn frames(
        &self,
        hidden: &Tensor,
        first: &Tensor,
        drawing: &mut TensorSampler,
        sampler: &mut FrameSampler,
    ) -> Result<(), ModelError> {
        let mut x = Tensor::cat(&[self.projection.forward(hidden)?, self.row(0, first)?], 1)?;
        let mut start = 0;
        for codebook in 1..CODEBOOKS {
            let made = self.stack.forward(&x, &BatchPositions::Together { start }, &self.kv)?;
            start += x.dim(1)?;
            let last = self.stack.norm(&made.narrow(1, made.dim(1)? - 1, 1)?)?;
            let logits = self.heads[codebook - 1].forward(&last)?.squeeze(1)?;
            let codes = drawing.draw(codebook, &logits, sampler)?;
            if codebook + 1 < CODEBOOKS {
                x = self.row(codebook, &codes)?;
            }
        }
        Ok(())
    }

    /// Returns the projected rows of the slots' codes, `(slots, 1, hidden)`.
    fn row(&self, codebook: usize, codes: &Tensor) -> candle_core::Result<Tensor> {
        let offset = u32::try_from(codebook * self.audio_vocab).unwrap_or(u32::MAX);
        let index = (codes + Tensor::full(offset, codes.shape(), codes.device())?)?;
        self.rows.index_select(&index, 0)?.unsqueeze(1)
    }
}
