//! Traits that the engine's threads need from a model and its codec, and their real
//! implementations.
//!
//! Tests implement these traits with a scripted model that can block, fail and panic. The tests
//! cover the threads' order of work, stalls and endings.

use std::sync::Arc;

use csm_shared::audio::{Clip, Frame};

use super::error::EngineError;
use super::prefill::PromptLimits;
use crate::codec::{self, Codec};
use crate::model::{Model, Position, Prefix, Row, StepTimes};

/// A model with a number of slots, owned by the engine's thread.
pub(super) trait SpeechModel {
    /// A copy of what a slot holds before its first frame.
    type Prefix;
    /// The codec's decoder, owned by the thread `csm-codec`.
    type Decoder: Decode;
    /// The codec's encoder, owned by the thread `csm-encode`.
    type Encoder: Encode;

    fn limits(&self) -> PromptLimits;
    /// Empties a slot, whatever its content.
    fn reset(&mut self, slot: usize);
    fn prefill(&mut self, slot: usize, positions: &[Position]) -> Result<(), EngineError>;
    /// Makes the next frame of each row; rows have distinct slots.
    fn step(&mut self, rows: &[Row]) -> Result<Vec<Frame>, EngineError>;
    /// Reads frames as if steps had made them; the next step continues after them.
    fn replay(&mut self, slot: usize, frames: &[Frame]) -> Result<(), EngineError>;
    /// Returns the times of the last step's parts, if known.
    fn step_times(&self) -> Option<StepTimes>;
    fn save_prefix(&self, slot: usize) -> Result<Self::Prefix, EngineError>;
    /// Copies a prefix into an empty slot.
    fn restore_prefix(&mut self, slot: usize, prefix: &Self::Prefix) -> Result<(), EngineError>;
    /// Returns the bytes of a prefix of `positions` positions.
    fn prefix_bytes(&self, positions: usize) -> u64;
}

/// A decoder from codes to audio, with a state per slot.
pub(super) trait Decode: Send + 'static {
    fn reset(&mut self, slot: usize);
    /// Returns the samples of each row's frames, 1920 a frame; rows have distinct slots.
    fn push(&mut self, rows: &[(usize, &[Frame])]) -> Result<Vec<Vec<f32>>, EngineError>;
}

/// An encoder from recordings to codes.
pub(super) trait Encode: Send + 'static {
    /// Returns the codes of a recording, with its last frame padded with silence.
    fn encode(&mut self, clip: &Clip) -> Result<Vec<Frame>, EngineError>;
}

/// A model and the two halves of its codec, before each moves to its thread.
pub(super) struct EngineParts<M: SpeechModel> {
    pub(super) model: M,
    pub(super) decoder: M::Decoder,
    pub(super) encoder: M::Encoder,
}

impl SpeechModel for Model {
    type Prefix = Prefix;
    type Decoder = codec::Decoder;
    type Encoder = Arc<Codec>;

    fn limits(&self) -> PromptLimits {
        let config = self.config();
        PromptLimits {
            window: config.max_positions,
            text_vocab: config.text_vocab,
            codes: config.codebook_size,
            block: self.prefill_block(),
        }
    }

    fn reset(&mut self, slot: usize) {
        Self::reset(self, slot);
    }

    fn prefill(&mut self, slot: usize, positions: &[Position]) -> Result<(), EngineError> {
        Self::prefill(self, slot, positions).map_err(failed)
    }

    fn step(&mut self, rows: &[Row]) -> Result<Vec<Frame>, EngineError> {
        Self::step(self, rows).map_err(failed)
    }

    fn replay(&mut self, slot: usize, frames: &[Frame]) -> Result<(), EngineError> {
        Self::replay(self, slot, frames).map_err(failed)
    }

    fn step_times(&self) -> Option<StepTimes> {
        Self::step_times(self)
    }

    fn save_prefix(&self, slot: usize) -> Result<Prefix, EngineError> {
        Self::save_prefix(self, slot).map_err(failed)
    }

    fn restore_prefix(&mut self, slot: usize, prefix: &Prefix) -> Result<(), EngineError> {
        Self::restore_prefix(self, slot, prefix).map_err(failed)
    }

    fn prefix_bytes(&self, positions: usize) -> u64 {
        Self::prefix_bytes(self, positions) as u64
    }
}

impl Decode for codec::Decoder {
    fn reset(&mut self, slot: usize) {
        Self::reset(self, slot);
    }

    fn push(&mut self, rows: &[(usize, &[Frame])]) -> Result<Vec<Vec<f32>>, EngineError> {
        Self::push(self, rows).map_err(failed)
    }
}

impl Encode for Arc<Codec> {
    fn encode(&mut self, clip: &Clip) -> Result<Vec<Frame>, EngineError> {
        Codec::encode(self, &clip.to_f32()).map_err(failed)
    }
}

/// Converts an error of the model. Utterances were checked before, so the model or the device is at
/// fault.
fn failed(error: impl std::error::Error) -> EngineError {
    EngineError::Model(error.to_string())
}
