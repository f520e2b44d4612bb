//! Interface of a forward pass on any device, and the drawing of codes from its logits.

use std::time::{Duration, Instant};

use csm_shared::audio::Frame;
use csm_shared::job::Sampling;

use super::ModelError;
use super::backend_prefix::BackendPrefix;
use super::position::Position;
use super::sampler::{self, DrawKey};
use csm_kernels::Pool;

/// Part of one utterance in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Slot of the utterance.
    pub slot: usize,
    /// Settings by which the codes are drawn.
    pub sampling: Sampling,
    /// Index of the frame in the utterance, from 0. Seed, frame index and codebook decide a draw.
    pub frame_index: u32,
}

/// Frame that was made and is now read by the backbone.
pub(super) struct FrameInput {
    pub(super) slot: usize,
    /// Position that the frame takes.
    pub(super) position: usize,
    pub(super) frame: Frame,
}

/// Both transformers on one device, with the state of every slot. [`Model`](super::Model) checks
/// the arguments.
pub(super) trait Net: Send {
    /// Returns the most positions that one call of [`Net::prefill`] should carry.
    fn prefill_block(&self) -> usize;
    /// Reads positions that follow the `start` positions of the slot.
    fn prefill(&mut self, slot: usize, start: usize, positions: &[Position]) -> Result<(), ModelError>;
    /// Reads one frame per row.
    fn read_frames(&mut self, rows: &[FrameInput]) -> Result<(), ModelError>;
    /// Reads frames that follow the `start` positions of one slot, with the same bits as one
    /// [`Net::read_frames`] after another.
    fn replay(&mut self, slot: usize, start: usize, frames: &[Frame]) -> Result<(), ModelError>;
    /// Makes one frame per row from the positions that its slot has read.
    fn step(&mut self, rows: &[Row], sampler: &mut FrameSampler) -> Result<Vec<Frame>, ModelError>;
    /// Copies the slot's first positions.
    fn save_prefix(&self, slot: usize, positions: usize) -> Result<BackendPrefix, ModelError>;
    /// Returns the bytes of a copy of so many positions.
    fn prefix_bytes(&self, positions: usize) -> usize;
    /// Writes a copied prefix into a slot.
    fn restore_prefix(&mut self, slot: usize, prefix: &BackendPrefix) -> Result<(), ModelError>;
    /// Returns whether calls return before their work is done.
    fn runs_ahead(&self) -> bool;
    /// Waits until all work is done.
    fn finish(&self) -> Result<(), ModelError>;
    /// Returns the bytes of weights that one step reads.
    fn bytes_per_step(&self) -> u64;
    /// Returns the resident bytes by name.
    fn memory(&self) -> Vec<(&'static str, u64)>;
}

/// Sampler of codes. Keeps the logits if a test asks for them, and measures the time of drawing.
pub(super) struct FrameSampler {
    codebook_size: usize,
    trace: Option<Vec<f32>>,
    /// Index of the traced row when logits come for all slots at once.
    row: usize,
    spent: Duration,
}

impl FrameSampler {
    pub(super) fn new(codebook_size: usize) -> Self {
        Self { codebook_size, trace: None, row: 0, spent: Duration::ZERO }
    }

    /// Creates a sampler that keeps the logits of the only row, in slot `row`.
    pub(super) fn traced(codebook_size: usize, row: usize) -> Self {
        Self { trace: Some(Vec::new()), row, ..Self::new(codebook_size) }
    }

    /// Returns whether logits are kept.
    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Keeps one codebook's logits `(slots, audio_vocab)` if the sampler is traced.
    pub(super) fn trace_logits(&mut self, logits: &[f32], audio_vocab: usize) {
        if let Some(trace) = &mut self.trace {
            trace.extend_from_slice(&logits[self.row * audio_vocab..][..audio_vocab]);
        }
    }

    /// Draws the rows' codes of one codebook from `logits (rows, audio_vocab)`. Ids that are no
    /// codes are never drawn.
    pub(super) fn draw(
        &mut self,
        pool: &Pool,
        rows: &[Row],
        codebook: usize,
        logits: &[f32],
    ) -> Result<Vec<u32>, ModelError> {
        let begun = Instant::now();
        if let Some(trace) = &mut self.trace {
            trace.extend_from_slice(logits);
        }
        let vocab = logits.len() / rows.len();
        let codes = self.codebook_size.min(vocab);
        let mut drawn = vec![None; rows.len()];
        pool.run_chunks(&mut drawn, 1, &|index, drawn| {
            let Row { sampling, frame_index, .. } = rows[index];
            let draw = DrawKey { seed: sampling.seed.get(), frame_index, codebook };
            drawn[0] = sampler::sample(&logits[index * vocab..][..codes], &sampling, draw);
        });
        self.spent += begun.elapsed();
        let finite = |(code, row): (Option<u32>, &Row)| {
            code.ok_or(ModelError::NotFinite { frame_index: row.frame_index, codebook })
        };
        drawn.into_iter().zip(rows).map(finite).collect()
    }

    /// Adds time that was spent drawing elsewhere.
    pub(super) fn add_time(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Returns the time spent drawing.
    pub(super) fn time(&self) -> Duration {
        self.spent
    }

    /// Returns all logits, in the order of drawing; empty unless traced.
    pub(super) fn into_trace(self) -> Vec<f32> {
        self.trace.unwrap_or_default()
    }
}
