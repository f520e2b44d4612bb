//! CSM on one device. Prompts go in; every step returns one frame of 32 Mimi codes per utterance.
//!
//! Two Llama-style transformers make a frame. The backbone reads the prompt and all earlier frames,
//! and computes one hidden state and the first code. The depth decoder starts from that state and
//! computes the other 31 codes one after another; it keeps nothing between frames.
//!
//! A [`Model`] has slots, one utterance each. A step takes any of them, each at its own position,
//! through the weights together. The codes of an utterance depend neither on the other utterances
//! nor on its slot.
//!
//! Two forward passes implement one trait ([`net::Net`]): [`cpu`] on packed, possibly quantised
//! matrices, and [`tensor`] on candle's tensors, for CUDA. Each pass is tested against the other.

pub mod config;
pub mod csm_weights;
pub mod position;
pub mod sampler;

mod backend_prefix;
mod cpu;
mod net;
mod prefix;
mod replay;
mod rope;
mod tensor;
mod weight_choice;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

pub use crate::weights::{LoadProgress, WeightsError, weights_sha256};
pub use config::{ConfigError, CsmConfig, RopeConfig, TransformerConfig};
pub use net::Row;
pub use position::Position;
pub use prefix::Prefix;
pub use weight_choice::{WeightChoice, WeightFormat};

use csm_kernels::threads_or_all;
use csm_weights::Weights;
use net::{FrameInput, FrameSampler, Net};

/// Frame of zeros that marks the end of an utterance; not part of the audio.
pub const END_FRAME: Frame = [0; CODEBOOKS];

/// Reason why the model cannot be loaded or cannot step.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder's `config.json` does not describe a CSM model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder's tensors are missing or do not match the config.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A prompt position holds an id that the model does not have.
    #[error("prompt position {position}: {kind} id {id} is not below {limit}")]
    IdOutOfRange {
        /// Index among the given positions.
        position: usize,
        /// `text` or `audio`.
        kind: &'static str,
        /// The id.
        id: u32,
        /// Exclusive upper limit of the ids.
        limit: usize,
    },
    /// The next position would exceed the model's window.
    #[error("the model's window of {limit} positions is full")]
    WindowFull {
        /// Positions of the window.
        limit: usize,
    },
    /// A step without a prompt, or after the frame that ended the utterance.
    #[error("there is no hidden state to continue from: prefill a prompt first, and stop after the end frame")]
    NothingToContinue,
    /// Prompt positions after the first frame.
    #[error("the prompt is complete once a frame has been made")]
    PromptAfterFrame,
    /// Logits from which no code can be drawn: the device or the weights are broken.
    #[error("the logits of frame {frame_index}, codebook {codebook} are not finite")]
    NotFinite {
        /// Frame of the utterance.
        frame_index: u32,
        /// Codebook of the frame.
        codebook: usize,
    },
    /// Number format that the device does not support.
    #[error("{0}")]
    Format(String),
    /// Slot that the model does not have, or that is named twice in one step.
    #[error("slot {slot} of {slots} cannot be used here: it is not there, or twice in one step")]
    Slot {
        /// The slot.
        slot: usize,
        /// Number of the model's slots.
        slots: usize,
    },
    /// Prefix taken from a slot that has made frames, restored into a slot that is not empty, or
    /// from another model.
    #[error("a prefix goes from a slot that has only read into an empty one of the same model")]
    StrangePrefix,
    /// The device refused an operation.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
}

/// Options of [`Model::load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Number format of the matrices.
    pub weights: WeightChoice,
    /// Number of utterances that can be stepped together.
    pub slots: usize,
    /// CPU threads of loading and, on the CPU, of the forward pass. `None`: one per core.
    pub threads: Option<usize>,
}

/// Weights and slots of one model, resident on one device.
pub struct Model {
    config: CsmConfig,
    format: WeightFormat,
    net: Box<dyn Net>,
    slots: Vec<SlotState>,
    /// Whether the parts of a step are measured.
    timed: bool,
    times: Option<StepTimes>,
}

/// State of one slot's utterance, apart from keys and values.
#[derive(Clone, Default)]
struct SlotState {
    /// Positions read.
    positions: usize,
    /// Frames made.
    frames: usize,
    /// Last frame, which the next step reads.
    pending: Option<Frame>,
    /// Whether a hidden state is ready to make the first frame from.
    ready: bool,
}

/// Durations of the parts of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Time to read the frames of the step before.
    pub backbone: Duration,
    /// Time of the first code's head and of the other 31 codes.
    pub depth: Duration,
    /// Time to draw the codes from their logits. On CUDA drawing is a part of the graph and counts
    /// as depth.
    pub sampling: Duration,
}

/// Frame with the logits it was drawn from.
pub struct TracedFrame {
    /// The codes.
    pub codes: Frame,
    /// Logits `(32, audio_vocab)` in f32 on the CPU. Row `k` is the distribution of code `k`,
    /// before temperature and masks.
    pub logits: Tensor,
}

impl LoadOptions {
    /// Returns the options of unquantised weights on all cores, the reference for other formats.
    #[must_use]
    pub fn f32(slots: usize) -> Self {
        Self { weights: WeightChoice::Format(WeightFormat::F32), slots, threads: None }
    }
}

impl Model {
    /// Loads the model of `folder`, in either weight layout; quantises while reading.
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

    /// Returns the dimensions and vocabularies.
    #[must_use]
    pub fn config(&self) -> &CsmConfig {
        &self.config
    }

    /// Returns the number format of the matrices.
    #[must_use]
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Returns the most positions that one [`Model::prefill`] between two steps should carry, so
    /// that it takes about as long as a step.
    #[must_use]
    pub fn prefill_block(&self) -> usize {
        self.net.prefill_block()
    }

    /// Returns the positions of the window that a slot has used. The last frame counts from the
    /// next step on.
    #[must_use]
    pub fn positions(&self, slot: usize) -> usize {
        self.slots.get(slot).map_or(0, |slot| slot.positions)
    }

    /// Returns the times of the last step; `None` before the first.
    ///
    /// On CUDA the times are `None` unless [`Model::time_parts`] was called. The host only queues
    /// work there, so its clock does not show when the work is done.
    #[must_use]
    pub fn step_times(&self) -> Option<StepTimes> {
        self.times
    }

    /// Measures the parts of every step from now on, on CUDA by waiting for the device between
    /// them. Waiting slows steps a little, because the host falls behind: for benches only.
    pub fn time_parts(&mut self) {
        self.timed = true;
    }

    /// Returns the bytes of weights that one step reads, whatever the number of rows.
    #[must_use]
    pub fn bytes_per_step(&self) -> u64 {
        self.net.bytes_per_step()
    }

    /// Returns the resident bytes by name. Keys and values count in full, though the system
    /// provides their memory only as it is used.
    #[must_use]
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        self.net.memory()
    }

    /// Makes a slot ready for another utterance. Nothing of the last one can be read again.
    pub fn reset(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = SlotState::default();
        }
    }

    /// Reads prompt positions, oldest first. Several calls give the same result as one call with
    /// all positions.
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

    /// Makes the next frame of each row. [`END_FRAME`] ends an utterance: it is not audio, and no
    /// step may follow it.
    ///
    /// # Errors
    /// A slot has no prompt, has ended or is named twice, a window is full, or the device fails.
    /// After a failure of the device no slot can go on.
    pub fn step(&mut self, rows: &[Row]) -> Result<Vec<Frame>, ModelError> {
        self.frames(rows, &mut FrameSampler::new(self.config.codebook_size))
    }

    /// Makes one row's frame as [`Model::step`] does, and returns the logits of all 32 codes with
    /// it.
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

    /// Returns the current time, at the end of a part of a step. If parts are measured, waits until
    /// the device has finished that part.
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
