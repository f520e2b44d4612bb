//! The depth decoder: from the backbone's hidden state and the first code to the other 31 codes of the frame.

use candle_core::{Result, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

use super::attention::linear;
use super::cache::KvCache;
use super::embedding::ProjectedEmbedding;
use super::transformer::Transformer;
use super::weights::{Part, Weights, WeightsError};
use super::{CsmConfig, ModelError};

/// Projected input rows, transformer, and one head per codebook from the second on.
pub(super) struct DepthDecoder {
    embedding: ProjectedEmbedding,
    transformer: Transformer,
    /// `(31, hidden, audio_vocab)`: head `k - 1` answers codebook `k`.
    heads: Tensor,
    audio_vocab: usize,
}

impl DepthDecoder {
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        embedding: ProjectedEmbedding,
    ) -> std::result::Result<Self, WeightsError> {
        let transformer = Transformer::load(weights, config, Part::Depth, CODEBOOKS)?;
        Ok(Self { embedding, transformer, heads: weights.code_heads()?, audio_vocab: config.audio_vocab })
    }

    /// One frame. `hidden (1, 1, backbone hidden)`; `draw` turns the logits of a codebook into its code.
    ///
    /// Positions are 0 for the hidden state and `k + 1` for code `k`; earlier frames are forgotten.
    pub(super) fn frame(
        &self,
        hidden: &Tensor,
        first: u32,
        cache: &mut KvCache,
        draw: &mut dyn FnMut(&Tensor, usize) -> std::result::Result<u32, ModelError>,
    ) -> std::result::Result<Frame, ModelError> {
        cache.reset();
        let mut frame = [0; CODEBOOKS];
        frame[0] = first;
        let state = linear(hidden, &self.embedding.projection)?;
        let mut input = Tensor::cat(&[state, self.row(0, first)?], 1)?;
        for (codebook, code) in frame.iter_mut().enumerate().skip(1) {
            let output = self.transformer.forward(&input, cache)?;
            let logits = output.squeeze(1)?.matmul(&self.heads.get(codebook - 1)?)?;
            *code = draw(&logits, codebook)?;
            if codebook + 1 < CODEBOOKS {
                input = self.row(codebook, *code)?;
            }
        }
        Ok(frame)
    }

    /// The projected row of a code, `(1, 1, hidden)`.
    fn row(&self, codebook: usize, code: u32) -> Result<Tensor> {
        self.embedding.rows.narrow(0, codebook * self.audio_vocab + code as usize, 1)?.unsqueeze(0)
    }
}
