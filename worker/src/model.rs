//! CSM on one device: a prompt goes in, one frame of 32 Mimi codes comes out per step.
//!
//! Two Llama-style transformers make a frame. The backbone reads the prompt and all earlier frames and gives one hidden
//! state and the first code; the depth decoder starts from that state, forgets everything between frames, and gives the
//! other 31 codes one after another. What belongs to one utterance lives in its [`Cache`]; the [`Model`] itself never
//! changes after loading. Everything is written over rows, so that stepping several utterances at once needs no new math.

pub mod config;
pub mod prompt;
pub mod sampler;
pub mod weights;

mod attention;
mod backbone;
mod cache;
mod depth;
mod embedding;
mod mlp;
mod rope;
mod transformer;

#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};
use csm_shared::job::Sampling;

pub use cache::Cache;
pub use config::{ConfigError, CsmConfig, RopeConfig, TransformerConfig};
pub use prompt::Position;
pub use weights::{LoadProgress, WeightsError, weights_sha256};

use backbone::Backbone;
use depth::DepthDecoder;
use sampler::Draw;
use weights::Weights;

/// Prompt positions that go through the backbone in one piece: large enough to keep the matrix units busy, small enough
/// that attention scores stay a few MB.
pub const PREFILL_PIECE: usize = 128;

/// The frame that means "the utterance has ended". It is not part of the audio.
pub const END_FRAME: Frame = [0; CODEBOOKS];

/// Why the model cannot be loaded or cannot step.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder's `config.json` does not describe a CSM checkpoint.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder's tensors are missing or not as the config says.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A prompt position holds an id that the checkpoint does not have.
    #[error("prompt position {position}: {kind} id {id} is not below {limit}")]
    IdOutOfRange {
        /// Index in the prompt piece given.
        position: usize,
        /// `text` or `audio`.
        kind: &'static str,
        /// The id.
        id: u32,
        /// Ids end here.
        limit: usize,
    },
    /// The next position would exceed the model's window.
    #[error("the model's window of {limit} positions is full")]
    WindowFull {
        /// Positions that the model has.
        limit: usize,
    },
    /// A step without a prompt, or after the frame that ended the utterance.
    #[error("there is no hidden state to continue from: prefill a prompt first, and stop after the end frame")]
    NothingToContinue,
    /// A prompt piece after the first frame.
    #[error("the prompt is complete once a frame has been made")]
    PromptAfterFrame,
    /// The logits hold no number to choose by: the device or the weights are broken.
    #[error("the logits of frame {frame_index}, codebook {codebook} are not finite")]
    NotFinite {
        /// Frame of the utterance.
        frame_index: u32,
        /// Codebook of the frame.
        codebook: usize,
    },
    /// The device refused an operation.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
}

/// One checkpoint resident on one device.
pub struct Model {
    config: CsmConfig,
    dtype: DType,
    device: Device,
    backbone: Backbone,
    depth: DepthDecoder,
}

/// One frame with the logits it was drawn from.
pub struct TracedFrame {
    /// The codes.
    pub codes: Frame,
    /// `(32, audio_vocab)` in f32 on the CPU; row `k` is what code `k` was drawn from, before temperature and masks.
    pub logits: Tensor,
}

impl Model {
    /// Loads the checkpoint of `folder`: f32 on the CPU, bf16 on CUDA. Reads either weight layout.
    ///
    /// # Errors
    /// The config, a tensor or the device is at fault; each error names which.
    pub fn load(folder: &Path, device: &Device, progress: &mut dyn FnMut(LoadProgress)) -> Result<Self, ModelError> {
        let config = CsmConfig::from_folder(folder)?;
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let mut weights = Weights::open(folder, &config, dtype, device, progress)?;
        let (backbone_embedding, projected_embedding) = embedding::load(&mut weights, &config)?;
        let backbone = Backbone::load(&mut weights, &config, backbone_embedding)?;
        let depth = DepthDecoder::load(&mut weights, &config, projected_embedding)?;
        Ok(Self { config, dtype, device: device.clone(), backbone, depth })
    }

    /// Dimensions and vocabularies.
    #[must_use]
    pub fn config(&self) -> &CsmConfig {
        &self.config
    }

    /// What the weights are held and multiplied in.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// State of a new utterance: keys and values for the whole window, allocated once.
    ///
    /// # Errors
    /// The device has no memory for it.
    pub fn new_cache(&self) -> Result<Cache, ModelError> {
        Cache::new(&self.config, self.dtype, &self.device)
    }

    /// Feeds prompt positions, oldest first; several calls are the same as one with all positions.
    ///
    /// # Errors
    /// An id is out of range, the window is full, or a frame has already been made.
    pub fn prefill(&self, cache: &mut Cache, positions: &[Position]) -> Result<(), ModelError> {
        if cache.pending.is_some() || cache.frames > 0 {
            return Err(ModelError::PromptAfterFrame);
        }
        for (index, position) in positions.iter().enumerate() {
            position.check(index, &self.config)?;
        }
        self.check_window(cache, positions.len())?;
        for piece in positions.chunks(PREFILL_PIECE) {
            cache.hidden = Some(self.backbone.forward(piece, &mut cache.backbone)?);
        }
        Ok(())
    }

    /// The next frame. [`END_FRAME`] ends the utterance: it is no audio, and no step may follow it.
    ///
    /// `frame_index` counts the utterance's frames from 0 and, with the seed and the codebook, decides the draws.
    ///
    /// # Errors
    /// No prompt, an ended utterance, a full window, or a failing device.
    pub fn step(&self, cache: &mut Cache, sampling: &Sampling, frame_index: u32) -> Result<Frame, ModelError> {
        self.frame(cache, sampling, frame_index, &mut |_| {})
    }

    /// [`Model::step`], with the logits of all 32 codes.
    ///
    /// # Errors
    /// As [`Model::step`].
    pub fn step_traced(
        &self,
        cache: &mut Cache,
        sampling: &Sampling,
        frame_index: u32,
    ) -> Result<TracedFrame, ModelError> {
        let mut seen = Vec::with_capacity(CODEBOOKS * self.config.audio_vocab);
        let codes = self.frame(cache, sampling, frame_index, &mut |logits| seen.extend_from_slice(logits))?;
        let logits = Tensor::from_vec(seen, (CODEBOOKS, self.config.audio_vocab), &Device::Cpu)?;
        Ok(TracedFrame { codes, logits })
    }

    fn frame(
        &self,
        cache: &mut Cache,
        sampling: &Sampling,
        frame_index: u32,
        see: &mut dyn FnMut(&[f32]),
    ) -> Result<Frame, ModelError> {
        if let Some(frame) = cache.pending.take() {
            self.check_window(cache, 1)?;
            cache.hidden = Some(self.backbone.forward(&[Position::Audio(frame)], &mut cache.backbone)?);
        }
        let hidden = cache.hidden.take().ok_or(ModelError::NothingToContinue)?;
        let mut draw = |logits: &Tensor, codebook: usize| {
            let logits = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            see(&logits);
            let draw = Draw { seed: sampling.seed.get(), frame_index, codebook };
            let codes = logits.get(..self.config.codebook_size).unwrap_or(&logits);
            sampler::sample(codes, sampling, draw).ok_or(ModelError::NotFinite { frame_index, codebook })
        };
        let first = draw(&self.backbone.first_code_logits(&hidden)?, 0)?;
        let frame = self.depth.frame(&hidden, first, &mut cache.depth, &mut draw)?;
        cache.frames += 1;
        cache.pending = (frame != END_FRAME).then_some(frame);
        Ok(frame)
    }

    fn check_window(&self, cache: &Cache, more: usize) -> Result<(), ModelError> {
        let limit = self.config.max_positions;
        if cache.positions() + more > limit { Err(ModelError::WindowFull { limit }) } else { Ok(()) }
    }
}
