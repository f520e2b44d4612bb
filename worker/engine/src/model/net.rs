//! What a forward pass is asked for, whichever device it runs on; and how codes are drawn from its logits.

use std::time::{Duration, Instant};

use csm_shared::audio::Frame;
use csm_shared::job::Sampling;

use super::position::Position;
use super::sampler::{self, DrawKey};
use super::{ModelError, cpu, tensor};
use csm_kernels::Pool;

/// One utterance's part of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its slot.
    pub slot: usize,
    /// How its codes are drawn.
    pub sampling: Sampling,
    /// Its frame, from 0; with the seed and the codebook it decides the draws.
    pub frame_index: u32,
}

/// A frame that was spoken and is now read.
pub(super) struct FrameInput {
    pub(super) slot: usize,
    /// Position it takes.
    pub(super) position: usize,
    pub(super) frame: Frame,
}

/// Keys and values of a slot's first positions.
pub(super) enum BackendPrefix {
    Cpu(cpu::PackedPrefix),
    Tensor(tensor::TensorPrefix),
}

/// Both transformers on one device, with the state of every slot. Checks are made by the [`Model`](super::Model).
pub(super) trait Net: Send {
    /// Positions that one call of [`Net::prefill`] should carry at most.
    fn prefill_block(&self) -> usize;
    /// Reads positions behind the `start` that the slot holds.
    fn prefill(&mut self, slot: usize, start: usize, positions: &[Position]) -> Result<(), ModelError>;
    /// Reads one frame per row.
    fn read_frames(&mut self, rows: &[FrameInput]) -> Result<(), ModelError>;
    /// Reads frames of one slot behind the `start` that it holds, to the bits that [`Net::read_frames`] of one after another gives.
    fn replay(&mut self, slot: usize, start: usize, frames: &[Frame]) -> Result<(), ModelError>;
    /// Speaks one frame per row from what its slot has read.
    fn step(&mut self, rows: &[Row], sampler: &mut FrameSampler) -> Result<Vec<Frame>, ModelError>;
    /// Copies the slot's first positions.
    fn save_prefix(&self, slot: usize, positions: usize) -> Result<BackendPrefix, ModelError>;
    /// Bytes of such a copy.
    fn prefix_bytes(&self, positions: usize) -> usize;
    /// Writes a copy into a slot.
    fn restore_prefix(&mut self, slot: usize, prefix: &BackendPrefix) -> Result<(), ModelError>;
    /// Whether calls come back before their work is done.
    fn runs_ahead(&self) -> bool;
    /// Waits until all work is done.
    fn finish(&self) -> Result<(), ModelError>;
    /// Bytes of weights that one step reads.
    fn bytes_per_step(&self) -> u64;
    /// What is resident, in bytes.
    fn memory(&self) -> Vec<(&'static str, u64)>;
}

impl BackendPrefix {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Cpu(prefix) => prefix.bytes(),
            Self::Tensor(prefix) => prefix.bytes(),
        }
    }
}

/// Turns logits into codes, and remembers them where a test or a measurement asks for it.
pub(super) struct FrameSampler {
    codebook_size: usize,
    trace: Option<Vec<f32>>,
    /// The traced row of a batch that is always whole.
    row: usize,
    spent: Duration,
}

impl FrameSampler {
    pub(super) fn new(codebook_size: usize) -> Self {
        Self { codebook_size, trace: None, row: 0, spent: Duration::ZERO }
    }

    /// Remembers the logits of the one row that is spoken, in slot `row`.
    pub(super) fn traced(codebook_size: usize, row: usize) -> Self {
        Self { trace: Some(Vec::new()), row, ..Self::new(codebook_size) }
    }

    /// Whether logits are asked for.
    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Remembers one codebook's logits `(slots, audio_vocab)` where asked to.
    pub(super) fn trace_logits(&mut self, logits: &[f32], audio_vocab: usize) {
        if let Some(trace) = &mut self.trace {
            trace.extend_from_slice(&logits[self.row * audio_vocab..][..audio_vocab]);
        }
    }

    /// Draws the rows' codes of one codebook from `logits (rows, audio_vocab)`. Ids that are no codes are never drawn.
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

    /// Notes time that went into drawing elsewhere.
    pub(super) fn add_time(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Time that went into drawing.
    pub(super) fn time(&self) -> Duration {
        self.spent
    }

    /// All logits, in the order of drawing; empty unless traced.
    pub(super) fn into_trace(self) -> Vec<f32> {
        self.trace.unwrap_or_default()
    }
}
