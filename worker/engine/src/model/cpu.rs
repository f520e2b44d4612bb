//! The forward pass on the CPU: plain rows of f32 through the packed matrices of [`csm_kernels`].
//!
//! The pass works on *entries*: a row at a position of a slot. A step of five utterances is five
//! entries of five slots; a prefill block is thirty-two entries of one slot. Both read each weight
//! once. The result of an entry depends only on its own row and on earlier positions of its slot,
//! bit for bit.

mod cache;
mod depth;
mod embedding_table;
mod stack;

use candle_core::DType;
use csm_shared::audio::{CODEBOOKS, Frame};

use super::backend_prefix::BackendPrefix;
use super::csm_weights::{ModelPart, Weights};
use super::net::{FrameInput, FrameSampler, Net, Row};
use super::position::Position;
use super::{CsmConfig, ModelError, WeightFormat};
use crate::weights::WeightsError;
use csm_kernels::{Matrix, Pool};

use cache::PackedKvCache;
use depth::PackedDepth;
use embedding_table::EmbeddingTable;
use stack::{PackedStack, RowPosition};

/// Prompt positions that go through the backbone at once. A block takes about as long as one frame,
/// and running utterances wait that long at most.
const PREFILL_BLOCK: usize = 32;

/// Both transformers, their tables, and the state of every slot.
pub(super) struct CpuNet {
    pool: Pool,
    text: EmbeddingTable,
    audio: EmbeddingTable,
    backbone: PackedStack,
    head: Matrix,
    depth: PackedDepth,
    kv: PackedKvCache,
    /// `(slots, hidden)`: the normed state of each slot's last position.
    hidden: Vec<f32>,
    audio_vocab: usize,
}

impl CpuNet {
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        format: WeightFormat,
        slots: usize,
        threads: usize,
    ) -> Result<Self, WeightsError> {
        let pool = Pool::new(threads);
        // Tables are gathered, never multiplied. Beside quantised matrices they are kept in bf16,
        // the precision of training.
        let dtype = if format == WeightFormat::F32 { DType::F32 } else { DType::BF16 };
        let text = EmbeddingTable::new(&weights.text_embedding(dtype)?)?;
        let (audio, depth_rows) = weights.audio_embeddings(dtype)?;
        let depth = PackedDepth::load(weights, config, format, &pool, &depth_rows, slots)?;
        drop(depth_rows);
        let audio = EmbeddingTable::new(&audio)?;
        let backbone = PackedStack::load(weights, config, ModelPart::Backbone, format, &pool, config.max_positions)?;
        let head = stack::matrix(format, &pool, &weights.first_code_head()?)?;
        let kv = PackedKvCache::new(&config.backbone, slots, config.max_positions);
        let hidden = vec![0.0; slots * config.backbone.hidden];
        Ok(Self { pool, text, audio, backbone, head, depth, kv, hidden, audio_vocab: config.audio_vocab })
    }

    fn width(&self) -> usize {
        self.backbone.hidden()
    }

    /// Runs rows `x` through the backbone and stores the normed state of each entry in `last`
    /// (indices into `entries`).
    fn run(&mut self, entries: &[RowPosition], mut x: Vec<f32>, last: &[usize]) {
        self.backbone.forward(&self.pool, &mut self.kv, entries, &mut x);
        let width = self.width();
        for &index in last {
            let slot = entries[index].slot;
            self.backbone.norm(&x[index * width..][..width], &mut self.hidden[slot * width..][..width]);
        }
    }

    /// Adds the embedding of a position to a row of zeros.
    fn embed(&self, position: &Position, row: &mut [f32]) {
        match position {
            Position::Text(id) => self.text.add(*id as usize, row),
            Position::Audio(frame) => {
                for (codebook, code) in frame.iter().enumerate() {
                    self.audio.add(codebook * self.audio_vocab + *code as usize, row);
                }
            }
        }
    }
}

impl Net for CpuNet {
    fn prefill_block(&self) -> usize {
        PREFILL_BLOCK
    }

    fn prefill(&mut self, slot: usize, start: usize, positions: &[Position]) -> Result<(), ModelError> {
        let mut start = start;
        for piece in positions.chunks(PREFILL_BLOCK) {
            let width = self.width();
            let mut x = vec![0.0; piece.len() * width];
            for (position, row) in piece.iter().zip(x.chunks_exact_mut(width)) {
                self.embed(position, row);
            }
            let entries: Vec<_> = (start..start + piece.len()).map(|position| RowPosition { slot, position }).collect();
            self.run(&entries, x, &[piece.len() - 1]);
            start += piece.len();
        }
        Ok(())
    }

    fn read_frames(&mut self, rows: &[FrameInput]) -> Result<(), ModelError> {
        let width = self.width();
        let mut x = vec![0.0; rows.len() * width];
        for (input, row) in rows.iter().zip(x.chunks_exact_mut(width)) {
            self.embed(&Position::Audio(input.frame), row);
        }
        let entries: Vec<_> =
            rows.iter().map(|input| RowPosition { slot: input.slot, position: input.position }).collect();
        let all: Vec<_> = (0..rows.len()).collect();
        self.run(&entries, x, &all);
        Ok(())
    }

    /// Reads frames as a prompt: a position's bits do not depend on how many positions are read
    /// together.
    fn replay(&mut self, slot: usize, start: usize, frames: &[Frame]) -> Result<(), ModelError> {
        let positions: Vec<_> = frames.iter().map(|&frame| Position::Audio(frame)).collect();
        self.prefill(slot, start, &positions)
    }

    fn step(&mut self, rows: &[Row], sampler: &mut FrameSampler) -> Result<Vec<Frame>, ModelError> {
        let width = self.width();
        let mut hidden = Vec::with_capacity(rows.len() * width);
        for row in rows {
            hidden.extend_from_slice(&self.hidden[row.slot * width..][..width]);
        }
        let mut logits = vec![0.0; rows.len() * self.head.out()];
        self.head.apply(&self.pool, &hidden, width, rows.len(), &mut logits);
        let first = sampler.draw(&self.pool, rows, 0, &logits)?;
        let mut frames = vec![[0; CODEBOOKS]; rows.len()];
        for (frame, code) in frames.iter_mut().zip(first) {
            frame[0] = code;
        }
        self.depth.frames(&self.pool, &hidden, rows, &mut frames, sampler)?;
        Ok(frames)
    }

    fn save_prefix(&self, slot: usize, positions: usize) -> Result<BackendPrefix, ModelError> {
        Ok(BackendPrefix::Cpu(self.kv.save_prefix(slot, positions)))
    }

    fn prefix_bytes(&self, positions: usize) -> usize {
        self.kv.prefix_bytes(positions)
    }

    fn runs_ahead(&self) -> bool {
        false
    }

    fn finish(&self) -> Result<(), ModelError> {
        Ok(())
    }

    fn restore_prefix(&mut self, slot: usize, prefix: &BackendPrefix) -> Result<(), ModelError> {
        let BackendPrefix::Cpu(prefix) = prefix else { return Err(ModelError::StrangePrefix) };
        self.kv.restore_prefix(slot, prefix);
        Ok(())
    }

    fn bytes_per_step(&self) -> u64 {
        (self.backbone.bytes() + self.head.bytes() + self.depth.bytes_per_frame()) as u64
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("backbone matrices", (self.backbone.bytes() + self.head.bytes()) as u64),
            ("depth decoder matrices", self.depth.bytes() as u64),
            ("text embedding", self.text.bytes() as u64),
            ("audio embedding", self.audio.bytes() as u64),
            ("projected audio embedding", self.depth.table_bytes() as u64),
            ("keys and values of all slots", (self.kv.bytes() + self.depth.cache_bytes()) as u64),
        ]
    }
}
