//! The forward pass on candle's tensors, for CUDA. On the CPU the pass is slow, and serves to test
//! the other pass.
//!
//! Prompts go through candle's products. On CUDA the steps are kernels of this crate, replayed as
//! graphs ([`graph`]). The step below, in candle's operations, is their plain form, which the CPU
//! can test.
//!
//! A step always has the same shape: all slots are computed, and attention covers the whole window.
//! Masks from the slots' lengths decide which positions are seen, so the result of a row does not
//! depend on the others. Rows of slots that take no part write to a position that is never read.

mod attention;
mod cache;
mod depth;
#[cfg(feature = "cuda")]
mod device_address;
mod draw;
#[cfg(feature = "cuda")]
mod graph;
mod linear;
mod stack;

use std::time::Instant;

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

use super::backend_prefix::{BackendPrefix, TensorPrefix};
use super::csm_weights::{ModelPart, Weights};
use super::net::{FrameInput, FrameSampler, Net, Row};
use super::position::Position;
use super::{CsmConfig, ModelError, WeightFormat};
use crate::weights::WeightsError;
use csm_kernels::Pool;

use cache::{BatchPositions, TensorKvCache};
use depth::TensorDepth;
use draw::TensorSampler;
use linear::Linear;
use stack::TensorStack;

/// Prompt positions that go through the backbone at once. The number fills the matrix units, and
/// keeps attention scores within a few MB.
const PREFILL_BLOCK: usize = 128;

/// Both transformers, their tables, and the state of every slot.
pub(super) struct TensorNet {
    device: Device,
    /// Threads that make the noise of draws outside the graphs.
    pool: Pool,
    dtype: DType,
    /// `(text_vocab, hidden)`.
    text: Tensor,
    /// `(32 * audio_vocab, hidden)`.
    audio: Tensor,
    backbone: TensorStack,
    head: Linear,
    depth: TensorDepth,
    kv: TensorKvCache,
    /// `(slots, 1, hidden)`: the normed state of each slot's last position.
    hidden: Tensor,
    slots: usize,
    window: usize,
    audio_vocab: usize,
    codebook_size: usize,
    bytes_per_step: u64,
    /// Captured steps, on CUDA.
    #[cfg(feature = "cuda")]
    graphs: Option<graph::Graphs>,
}

impl TensorNet {
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        format: WeightFormat,
        slots: usize,
        device: &Device,
        threads: usize,
    ) -> Result<Self, WeightsError> {
        // Quantised products take and give f32.
        let dtype = if format == WeightFormat::Bf16 { DType::BF16 } else { DType::F32 };
        let place = |tensor: Tensor| -> CandleResult<Tensor> { tensor.to_dtype(dtype)?.to_device(device) };
        let text = place(weights.text_embedding(dtype)?)?;
        let (audio, depth_rows) = weights.audio_embeddings(dtype)?;
        let (audio, depth_rows) = (place(audio)?, place(depth_rows)?);
        let depth = TensorDepth::load(weights, config, format, dtype, &depth_rows, slots)?;
        let backbone =
            TensorStack::load(weights, config, ModelPart::Backbone, format, dtype, device, config.max_positions)?;
        let head = Linear::new(format, dtype, device, &weights.first_code_head()?)?;
        let kv = TensorKvCache::new(&config.backbone, slots, config.max_positions + 1, dtype, device)?;
        let hidden = Tensor::zeros((slots, 1, config.backbone.hidden), dtype, device)?;
        let bytes_per_step = (backbone.bytes() + head.bytes() + depth.bytes_per_frame()) as u64;
        #[cfg(feature = "cuda")]
        let graphs = match device {
            Device::Cuda(_) => Some(graph::Graphs::capture(&graph::GraphInputs {
                config,
                format,
                dtype,
                audio: &audio,
                backbone: &backbone,
                head: &head,
                depth: &depth,
                kv: &kv,
                hidden: &hidden,
                slots,
            })?),
            _ => None,
        };
        Ok(Self {
            #[cfg(feature = "cuda")]
            graphs,
            device: device.clone(),
            pool: Pool::new(if device.is_cpu() { threads } else { 1 }),
            dtype,
            text,
            audio,
            backbone,
            head,
            depth,
            kv,
            hidden,
            slots,
            window: config.max_positions,
            audio_vocab: config.audio_vocab,
            codebook_size: config.codebook_size,
            bytes_per_step,
        })
    }

    /// Embeds positions that are all text or all audio, `(positions, hidden)`. A text id is one
    /// row; a frame is the sum of its 32 rows.
    fn embed(&self, run: &[Position]) -> CandleResult<Tensor> {
        let ids: Vec<u32> = run.iter().flat_map(|position| self.rows_of(position)).collect();
        let count = ids.len();
        let ids = Tensor::from_vec(ids, count, &self.device)?;
        if matches!(run.first(), Some(Position::Text(_))) {
            return self.text.index_select(&ids, 0);
        }
        let rows = self.audio.index_select(&ids, 0)?;
        let frames = rows.reshape((run.len(), CODEBOOKS, rows.dim(1)?))?;
        frames.to_dtype(DType::F32)?.sum(1)?.to_dtype(self.dtype)
    }

    fn rows_of(&self, position: &Position) -> Vec<u32> {
        let vocab = u32::try_from(self.audio_vocab).unwrap_or(u32::MAX);
        match position {
            Position::Text(id) => vec![*id],
            Position::Audio(frame) => (0..).zip(frame).map(|(codebook, code)| codebook * vocab + code).collect(),
        }
    }

    fn prefill_block(&mut self, slot: usize, start: usize, piece: &[Position]) -> CandleResult<()> {
        let runs = piece
            .chunk_by(|a, b| matches!(a, Position::Text(_)) == matches!(b, Position::Text(_)))
            .map(|run| self.embed(run))
            .collect::<CandleResult<Vec<_>>>()?;
        let x = Tensor::cat(&runs, 0)?.unsqueeze(0)?;
        let x = self.backbone.forward(&x, &BatchPositions::Run { slot, start }, &self.kv)?;
        let last = self.backbone.norm(&x.narrow(1, piece.len() - 1, 1)?)?;
        self.hidden.narrow(0, slot, 1)?.slice_set(&last, 0, 0)
    }

    fn read_frames_on_tensors(&mut self, rows: &[FrameInput]) -> CandleResult<()> {
        // Slots that read nothing write to the position after the window.
        let mut positions = vec![self.window; self.slots];
        let mut frames = vec![[0; CODEBOOKS]; self.slots];
        for input in rows {
            positions[input.slot] = input.position;
            frames[input.slot] = input.frame;
        }
        let x = self.embed(&frames.into_iter().map(Position::Audio).collect::<Vec<_>>())?.unsqueeze(1)?;
        let x =
            self.backbone.forward(&x, &BatchPositions::rows(&positions, self.window + 1, &self.device)?, &self.kv)?;
        let x = self.backbone.norm(&x)?;
        for input in rows {
            self.hidden.narrow(0, input.slot, 1)?.slice_set(&x.narrow(0, input.slot, 1)?.contiguous()?, 0, 0)?;
        }
        Ok(())
    }
}

impl Net for TensorNet {
    fn prefill_block(&self) -> usize {
        PREFILL_BLOCK
    }

    fn prefill(&mut self, slot: usize, start: usize, positions: &[Position]) -> Result<(), ModelError> {
        for (index, piece) in positions.chunks(PREFILL_BLOCK).enumerate() {
            Self::prefill_block(self, slot, start + index * PREFILL_BLOCK, piece)?;
        }
        Ok(())
    }

    fn read_frames(&mut self, rows: &[FrameInput]) -> Result<(), ModelError> {
        #[cfg(feature = "cuda")]
        if let Some(graphs) = &mut self.graphs {
            return Ok(graphs.read_frames(rows)?);
        }
        Ok(self.read_frames_on_tensors(rows)?)
    }

    /// Reads frames one by one, in the shape of a step: the device's kernels for a run of positions
    /// add in another order.
    fn replay(&mut self, slot: usize, start: usize, frames: &[Frame]) -> Result<(), ModelError> {
        for (position, &frame) in (start..).zip(frames) {
            self.read_frames(&[FrameInput { slot, position, frame }])?;
        }
        Ok(())
    }

    fn step(&mut self, rows: &[Row], sampler: &mut FrameSampler) -> Result<Vec<Frame>, ModelError> {
        #[cfg(feature = "cuda")]
        if let Some(graphs) = &mut self.graphs {
            return graphs.step(rows, sampler);
        }
        let mut by_slot = vec![None; self.slots];
        for row in rows {
            by_slot[row.slot] = Some(row);
        }
        let begun = Instant::now();
        let mut drawing = TensorSampler::new(&by_slot, self.codebook_size, &self.pool, &self.device)?;
        sampler.add_time(begun.elapsed());
        let logits = self.head.forward(&self.hidden)?.squeeze(1)?;
        let first = drawing.draw(0, &logits, sampler)?;
        self.depth.frames(&self.hidden, &first, &mut drawing, sampler)?;
        drawing.frames(rows)
    }

    fn save_prefix(&self, slot: usize, positions: usize) -> Result<BackendPrefix, ModelError> {
        Ok(BackendPrefix::Tensor(TensorPrefix { layers: self.kv.save_prefix(slot, positions)? }))
    }

    fn prefix_bytes(&self, positions: usize) -> usize {
        self.kv.prefix_bytes(positions)
    }

    fn runs_ahead(&self) -> bool {
        !self.device.is_cpu()
    }

    fn finish(&self) -> Result<(), ModelError> {
        Ok(self.device.synchronize()?)
    }

    fn restore_prefix(&mut self, slot: usize, prefix: &BackendPrefix) -> Result<(), ModelError> {
        let BackendPrefix::Tensor(prefix) = prefix else { return Err(ModelError::StrangePrefix) };
        Ok(self.kv.restore_prefix(slot, &prefix.layers)?)
    }

    fn bytes_per_step(&self) -> u64 {
        self.bytes_per_step
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        let of = |tensor: &Tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
        #[cfg_attr(not(feature = "cuda"), expect(unused_mut, reason = "only CUDA has graphs"))]
        let mut memory = vec![
            ("backbone matrices", (self.backbone.bytes() + self.head.bytes()) as u64),
            ("depth decoder matrices", self.depth.bytes() as u64),
            ("text embedding", of(&self.text)),
            ("audio embedding", of(&self.audio)),
            ("projected audio embedding", self.depth.table_bytes() as u64),
            ("keys and values of all slots", (self.kv.bytes() + self.depth.cache_bytes()) as u64),
        ];
        #[cfg(feature = "cuda")]
        memory.extend(self.graphs.iter().map(|graphs| ("values between kernels", graphs.bytes() as u64)));
        memory
    }
}
