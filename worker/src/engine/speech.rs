//! What the engine's thread asks of a model and its codec, and the real pair that answers.
//!
//! The thread is written over this trait so that its order of work, its stalls and its endings are tested on a scripted
//! model that can be told to block, fail and panic.

use csm_shared::audio::{Clip, Frame};
use csm_shared::job::Sampling;

use super::EngineError;
use super::prompt::PromptLimits;
use crate::codec::{Codec, DecodeStream};
use crate::model::{Cache, Model, Position};

/// A model with its codec, living on the engine's thread.
pub(super) trait SpeechModel {
    /// All that belongs to one utterance.
    type State;

    fn limits(&self) -> PromptLimits;
    fn new_state(&self) -> Result<Self::State, EngineError>;
    /// Codes of a recording, its last frame padded with silence.
    fn encode(&mut self, clip: &Clip) -> Result<Vec<Frame>, EngineError>;
    fn prefill(&mut self, state: &mut Self::State, positions: &[Position]) -> Result<(), EngineError>;
    /// The codes of the next frame.
    fn step(&mut self, state: &mut Self::State, sampling: &Sampling, frame_index: u32) -> Result<Frame, EngineError>;
    /// The 1920 samples of that frame.
    fn decode(&mut self, state: &mut Self::State, frame: &Frame) -> Result<Vec<f32>, EngineError>;
}

/// CSM and Mimi on one device.
pub(super) struct Resident {
    pub(super) model: Model,
    pub(super) codec: Codec,
}

/// Keys and values, and the codec's running state.
pub(super) struct UtteranceState {
    cache: Cache,
    decoder: DecodeStream,
}

impl SpeechModel for Resident {
    type State = UtteranceState;

    fn limits(&self) -> PromptLimits {
        let config = self.model.config();
        PromptLimits { window: config.max_positions, text_vocab: config.text_vocab }
    }

    fn new_state(&self) -> Result<UtteranceState, EngineError> {
        let cache = self.model.new_cache().map_err(failed)?;
        Ok(UtteranceState { cache, decoder: self.codec.new_stream().map_err(failed)? })
    }

    fn encode(&mut self, clip: &Clip) -> Result<Vec<Frame>, EngineError> {
        self.codec.encode(&clip.to_f32()).map_err(failed)
    }

    fn prefill(&mut self, state: &mut UtteranceState, positions: &[Position]) -> Result<(), EngineError> {
        self.model.prefill(&mut state.cache, positions).map_err(failed)
    }

    fn step(&mut self, state: &mut UtteranceState, sampling: &Sampling, index: u32) -> Result<Frame, EngineError> {
        self.model.step(&mut state.cache, sampling, index).map_err(failed)
    }

    fn decode(&mut self, state: &mut UtteranceState, frame: &Frame) -> Result<Vec<f32>, EngineError> {
        let pcm = state.decoder.push(frame).map_err(failed)?;
        if pcm.iter().all(|sample| sample.is_finite()) {
            Ok(pcm)
        } else {
            Err(EngineError::Model("the codec made a sample that is not a number".to_owned()))
        }
    }
}

/// Utterances are checked before they get here, so whatever fails now is the model's or the device's fault.
fn failed(error: impl std::error::Error) -> EngineError {
    EngineError::Model(error.to_string())
}
