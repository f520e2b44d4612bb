//! CSM on one device: prompts go in, one frame of 32 Mimi codes per utterance comes out of every step.
//!
//! Two Llama-style transformers make a frame. The backbone reads the prompt and all earlier frames and gives one hidden
//! state and the first code; the depth decoder starts from that state, forgets everything between frames, and gives the
//! other 31 codes one after another. A [`Model`] has slots, one utterance each; a step takes any of them, at their own
//! positions, through the weights together. What an utterance says does not depend on the others, nor on its slot.
//!
//! Two forward passes do the work behind one trait ([`net::Net`]): [`cpu`] on packed, possibly quantised matrices, and
//! [`tensor`] on candle's tensors, for CUDA. Each is the other's test.

pub mod config;
pub mod csm_weights;
pub mod position;
pub mod sampler;

mod cpu;
mod format;
mod net;
mod prefix;
mod replay;
mod rope;
mod tensor;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

pub use crate::weights::{LoadProgress, WeightsError, weights_sha256};
pub use config::{ConfigError, CsmConfig, RopeConfig, TransformerConfig};
pub use format::{WeightChoice, WeightFormat};
pub use net::Row;
pub use position::Position;
pub use prefix::Prefix;

use csm_kernels::threads_or_all;
use csm_weights::Weights;
use net::{FrameInput, FrameSampler, Net};

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
    /// The number format is not one of the device's.
    #[error("{0}")]
    Format(String),
    /// A slot that the model does not have, or twice the same in one step.
    #[error("slot {slot} of {slots} cannot be used here: it is not there, or twice in one step")]
    Slot {
        /// The slot.
        slot: usize,
        /// Slots of the model.
        slots: usize,
    },
    /// A prefix is taken from a slot that has spoken, put into one that is not empty, or of another model.
    #[error("a prefix goes from a slot that has only read into an empty one of the same model")]
    StrangePrefix,
    /// The device refused an operation.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
}

/// How a checkpoint is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Number format of the matrices.
    pub weights: WeightChoice,
    /// Utterances that can be stepped together.
    pub slots: usize,
    /// CPU threads of loading and, on the CPU, of the forward pass; as many as there are cores when absent.
    pub threads: Option<usize>,
}

/// One checkpoint resident on one device.
pub struct Model {
    config: CsmConfig,
    format: WeightFormat,
    net: Box<dyn Net>,
    slots: Vec<SlotState>,
    /// The parts of a step are measured.
    timed: bool,
    times: Option<StepTimes>,
}

/// What the model remembers of an utterance beside keys and values.
#[derive(Clone, Default)]
struct SlotState {
    /// Positions read.
    positions: usize,
    /// Frames spoken.
    frames: usize,
    /// The last frame, read when the next one is asked for.
    pending: Option<Frame>,
    /// Whether there is something to continue from.
    ready: bool,
}

/// Where the time of the last step went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Reading the frames spoken before.
    pub backbone: Duration,
    /// The first code's head and the other 31 codes.
    pub depth: Duration,
    /// Drawing the codes from their logits. On CUDA it is a part of the graph, and counts as depth.
    pub sampling: Duration,
}

/// One frame with the logits it was drawn from.
pub struct TracedFrame {
    /// The codes.
    pub codes: Frame,
    /// `(32, audio_vocab)` in f32 on the CPU; row `k` is what code `k` was drawn from, before temperature and masks.
    pub logits: Tensor,
}

impl LoadOptions {
    /// Unquantised, on all cores: what other formats are held against.
    #[must_use]
    pub fn f32(slots: usize) -> Self {
        Self { weights: WeightChoice::Format(WeightFormat::F32), slots, threads: None }
    }
}

impl Model {
    /// Loads the checkpoint of `folder`. Reads either weight layout; quantises while it reads.
    ///
    /// # Errors
    /// The config, a tensor, the number format or the device is at fault; each error names which.
    pub fn load(
        folder: &Path,
        device: &Device,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let LoadOptions { weights, slots, threads } = *options;
        let config = CsmConfig::from_folder(folder)?;
        let format = weights.on(device).map_err(ModelError::Format)?;
        let mut weights = Weights::open(folder, &config, progress)?;
        let threads = threads_or_all(threads);
        let net: Box<dyn Net> = if device.is_cpu() {
            Box::new(cpu::CpuNet::load(&mut weights, &config, format, slots, threads)?)
        } else {
            Box::new(tensor::TensorNet::load(&mut weights, &config, format, slots, device, threads)?)
        };
        Ok(Self::over(config, format, net, slots))
    }

    fn over(config: CsmConfig, format: WeightFormat, net: Box<dyn Net>, slots: usize) -> Self {
        let timed = !net.runs_ahead();
        Self { config, format, net, slots: vec![SlotState::default(); slots], timed, times: None }
    }

    /// Dimensions and vocabularies.
    #[must_use]
    pub fn config(&self) -> &CsmConfig {
        &self.config
    }

    /// What the matrices are held in.
    #[must_use]
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Positions that one [`Model::prefill`] between two steps should carry at most, so that it takes about as long as a
    /// step.
    #[must_use]
    pub fn prefill_block(&self) -> usize {
        self.net.prefill_block()
    }

    /// Positions of the window that a slot has used. The last frame counts once the next one has been asked for.
    #[must_use]
    pub fn positions(&self, slot: usize) -> usize {
        self.slots.get(slot).map_or(0, |slot| slot.positions)
    }

    /// Where the time of the last step went; `None` before the first, and on CUDA unless [`Model::time_parts`] was called:
    /// there the host only asks for work, and its clock says nothing about when that is done.
    #[must_use]
    pub fn step_times(&self) -> Option<StepTimes> {
        self.times
    }

    /// Has the parts of every step measured from now on, on CUDA by waiting for the device between them. That costs a little
    /// time, since the host falls behind, so it is for benches.
    pub fn time_parts(&mut self) {
        self.timed = true;
    }

    /// Bytes of weights that one step reads, whatever the number of rows.
    #[must_use]
    pub fn bytes_per_step(&self) -> u64 {
        self.net.bytes_per_step()
    }

    /// What is resident, in bytes. Keys and values count in full, though the system gives their memory as it is used.
    #[must_use]
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        self.net.memory()
    }

    /// Makes a slot ready for another utterance; nothing of the last one can be read again.
    pub fn reset(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = SlotState::default();
        }
    }

    /// Reads prompt positions, oldest first; several calls are the same as one with all positions.
    ///
    /// # Errors
    /// An id is out of range, the window is full, or a frame has already been made.
    pub fn prefill(&mut self, slot: usize, positions: &[Position]) -> Result<(), ModelError> {
        let state = self.slot(slot)?;
        if state.frames > 0 {
            return Err(ModelError::PromptAfterFrame);
        }
        let start = state.positions;
        for (index, position) in positions.iter().enumerate() {
            position.check(index, &self.config)?;
        }
        self.check_window(start + positions.len())?;
        if positions.is_empty() {
            return Ok(());
        }
        self.net.prefill(slot, start, positions)?;
        let state = &mut self.slots[slot];
        state.positions += positions.len();
        state.ready = true;
        Ok(())
    }

    /// The next frame of each row. [`END_FRAME`] ends an utterance: it is no audio, and no step may follow it.
    ///
    /// # Errors
    /// A slot without a prompt, ended or named twice, a full window, or a failing device. After the last, no slot can go
    /// on.
    pub fn step(&mut self, rows: &[Row]) -> Result<Vec<Frame>, ModelError> {
        self.frames(rows, &mut FrameSampler::new(self.config.codebook_size))
    }

    /// [`Model::step`] of one row, with the logits of all 32 codes.
    ///
    /// # Errors
    /// As [`Model::step`].
    pub fn step_traced(&mut self, row: &Row) -> Result<TracedFrame, ModelError> {
        let mut sampler = FrameSampler::traced(self.config.codebook_size, row.slot);
        let frames = self.frames(std::slice::from_ref(row), &mut sampler)?;
        let logits = Tensor::from_vec(sampler.into_trace(), (CODEBOOKS, self.config.audio_vocab), &Device::Cpu)?;
        Ok(TracedFrame { codes: frames[0], logits })
    }

    fn frames(&mut self, rows: &[Row], sampler: &mut FrameSampler) -> Result<Vec<Frame>, ModelError> {
        let mut inputs = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let state = self.slot(row.slot)?;
            if rows[..index].iter().any(|other| other.slot == row.slot) {
                return Err(ModelError::Slot { slot: row.slot, slots: self.slots.len() });
            }
            if let Some(frame) = state.pending {
                self.check_window(state.positions + 1)?;
                inputs.push(FrameInput { slot: row.slot, position: state.positions, frame });
            } else if !state.ready {
                return Err(ModelError::NothingToContinue);
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let begun = self.mark()?;
        if !inputs.is_empty() {
            self.net.read_frames(&inputs)?;
        }
        let read = self.mark()?;
        for input in &inputs {
            self.slots[input.slot].positions += 1;
        }
        let frames = self.net.step(rows, sampler)?;
        let (spoken, sampling) = (self.mark()?, sampler.time());
        let depth = (spoken - read).saturating_sub(sampling);
        self.times = self.timed.then_some(StepTimes { backbone: read - begun, depth, sampling });
        for (row, frame) in rows.iter().zip(&frames) {
            let state = &mut self.slots[row.slot];
            state.frames += 1;
            state.ready = false;
            state.pending = (*frame != END_FRAME).then_some(*frame);
        }
        Ok(frames)
    }

    /// The time between two parts of a step. Where they are measured, the device is done with the first of them.
    fn mark(&self) -> Result<Instant, ModelError> {
        if self.timed {
            self.net.finish()?;
        }
        Ok(Instant::now())
    }

    fn slot(&self, slot: usize) -> Result<&SlotState, ModelError> {
        self.slots.get(slot).ok_or(ModelError::Slot { slot, slots: self.slots.len() })
    }

    fn check_window(&self, positions: usize) -> Result<(), ModelError> {
        let limit = self.config.max_positions;
        if positions > limit { Err(ModelError::WindowFull { limit }) } else { Ok(()) }
    }
}
