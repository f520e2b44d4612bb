//! The backbone: prompt and earlier frames in, one hidden state and the first code's logits out.

use candle_core::{DType, Result, Tensor};
use csm_shared::audio::CODEBOOKS;

use super::attention::linear;
use super::cache::KvCache;
use super::prompt::Position;
use super::transformer::Transformer;
use super::weights::{Part, Weights, WeightsError};
use super::{CsmConfig, ModelError};

/// Embedding tables, transformer and the head of codebook 0.
pub(super) struct Backbone {
    /// `(text_vocab, hidden)`.
    text_embedding: Tensor,
    /// `(32 * audio_vocab, hidden)`.
    audio_embedding: Tensor,
    transformer: Transformer,
    /// `(audio_vocab, hidden)`.
    head: Tensor,
    audio_vocab: u32,
}

impl Backbone {
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        audio_embedding: Tensor,
    ) -> std::result::Result<Self, WeightsError> {
        Ok(Self {
            text_embedding: weights.text_embedding()?,
            audio_embedding,
            transformer: Transformer::load(weights, config, Part::Backbone, config.max_positions)?,
            head: weights.first_code_head()?,
            audio_vocab: u32::try_from(config.audio_vocab).unwrap_or(u32::MAX),
        })
    }

    /// Feeds positions, whose ids have been checked; answers the final hidden state of the last, `(1, 1, hidden)`.
    pub(super) fn forward(
        &self,
        positions: &[Position],
        cache: &mut KvCache,
    ) -> std::result::Result<Tensor, ModelError> {
        let runs = positions
            .chunk_by(|a, b| matches!(a, Position::Text(_)) == matches!(b, Position::Text(_)))
            .map(|run| self.embed(run))
            .collect::<Result<Vec<_>>>()?;
        let x = Tensor::cat(&runs, 0)?.unsqueeze(0)?;
        Ok(self.transformer.forward(&x, cache)?)
    }

    /// `(1, 1, audio_vocab)`: what code 0 is drawn from.
    pub(super) fn first_code_logits(&self, hidden: &Tensor) -> Result<Tensor> {
        linear(hidden, &self.head)
    }

    /// Rows of a run that is all text or all audio, `(positions, hidden)`: one row of text, the sum of a frame's 32.
    fn embed(&self, run: &[Position]) -> Result<Tensor> {
        let device = self.transformer.device();
        let ids: Vec<u32> = run.iter().flat_map(|position| self.rows_of(position)).collect();
        let count = ids.len();
        let ids = Tensor::from_vec(ids, count, device)?;
        if matches!(run.first(), Some(Position::Text(_))) {
            return self.text_embedding.index_select(&ids, 0);
        }
        let rows = self.audio_embedding.index_select(&ids, 0)?;
        let frames = rows.reshape((run.len(), CODEBOOKS, rows.dim(1)?))?;
        frames.to_dtype(DType::F32)?.sum(1)?.to_dtype(rows.dtype())
    }

    fn rows_of(&self, position: &Position) -> Vec<u32> {
        match position {
            Position::Text(id) => vec![*id],
            Position::Audio(frame) => {
                (0..).zip(frame).map(|(codebook, code)| codebook * self.audio_vocab + code).collect()
            }
        }
    }
}
