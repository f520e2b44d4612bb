//! A frame on CUDA: two graphs of this crate's kernels (`graph/step.cu`), captured once and
//! replayed for every frame.
//!
//! The first graph reads the last frames; the second makes the next ones, drawing included. Each is
//! one launch for the host, and a frame needs one transfer back. Every slot is computed in every
//! step, even if it takes no part: the weights are read anyway, and a graph has one shape. The
//! prompt goes through candle's products ([`super::stack`]) into the same keys, values and states.

mod capture;
mod launch;

use std::sync::Arc;

use candle_core::backend::BackendDevice as _;
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, CudaSlice, CudaStream, sys};
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};
use candle_core::{DType, Device, Result, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

use super::cache::TensorKvCache;
use super::depth::TensorDepth;
use super::linear::Linear;
use super::stack::TensorStack;
use crate::model::net::{FrameInput, FrameSampler, Row};
use crate::model::{CsmConfig, END_FRAME, ModelError, TransformerConfig, WeightFormat};

use capture::FrameSteps;

/// Most codes of a codebook that the kernels support.
const CODES_MAX: usize = 2048;
/// Most dimensions of a head that the kernels support.
const HEAD_DIM_MAX: usize = 128;
/// Words of a row's draw settings: `Draw` of the kernels.
const DRAW_WORDS: usize = 6;
/// Words of a row's result: its codes, then 1 + the first codebook with broken logits, or 0.
const FRAME_WORDS: usize = CODEBOOKS + 1;

/// Captured graphs of a frame, with the buffers that only they use.
pub(super) struct Graphs {
    stream: Arc<CudaStream>,
    read_frames: CudaGraph,
    step: CudaGraph,
    buffers: Buffers,
    slots: usize,
    audio_vocab: usize,
    /// Tensors whose addresses are in the graphs, kept alive here. The owner of the graphs holds
    /// the matrices.
    _held: Vec<Tensor>,
}

// SAFETY: a graph is used through `&mut` or when it is dropped, so by one thread at a time, as CUDA
// requires.
#[expect(unsafe_code, reason = "cudarc's graphs hold pointers and say nothing of threads")]
unsafe impl Send for Graphs {}

/// Device memory that passes values between host and kernels, and between kernels.
struct Buffers {
    /// `(slots)` positions, -1 for rows that read nothing, followed by `(slots, 32)` codes.
    inputs: CudaSlice<u32>,
    /// Draw settings, `(slots, DRAW_WORDS)`.
    draws: CudaSlice<u32>,
    /// Results, `(slots, FRAME_WORDS)`.
    frames: CudaSlice<u32>,
    /// Logits of the last codes, `(32, slots, audio_vocab)`.
    logits: CudaSlice<f32>,
    backbone: GraphScratch,
    depth: GraphScratch,
}

/// Values of one transformer between its kernels, for all slots.
struct GraphScratch {
    /// Residual stream, `(slots, hidden)`.
    x: CudaSlice<f32>,
    /// Queries, keys and values, `(slots, (heads + 2 * kv_heads) * head_dim)`.
    qkv: CudaSlice<f32>,
    /// Results of attention, `(slots, heads * head_dim)`.
    mixed: Tensor,
    /// Gated values, `(slots, intermediate)`.
    gated: Tensor,
}

impl GraphScratch {
    fn new(config: &TransformerConfig, slots: usize, dtype: DType, device: &CudaDevice) -> Result<Self> {
        let on = Device::Cuda(device.clone());
        let heads = config.heads * config.head_dim;
        Ok(Self {
            x: device.alloc_zeros(slots * config.hidden)?,
            qkv: device.alloc_zeros(slots * (heads + 2 * config.kv_heads * config.head_dim))?,
            mixed: Tensor::zeros((slots, heads), dtype, &on)?,
            gated: Tensor::zeros((slots, config.intermediate), dtype, &on)?,
        })
    }
}

/// Parts of the model that the graphs use.
pub(super) struct GraphInputs<'a> {
    pub(super) config: &'a CsmConfig,
    pub(super) format: WeightFormat,
    pub(super) dtype: DType,
    /// Audio table, `(32 * audio_vocab, hidden)`.
    pub(super) audio: &'a Tensor,
    pub(super) backbone: &'a TensorStack,
    pub(super) head: &'a Linear,
    pub(super) depth: &'a TensorDepth,
    pub(super) kv: &'a TensorKvCache,
    /// Normed states, `(slots, 1, hidden)`.
    pub(super) hidden: &'a Tensor,
    pub(super) slots: usize,
}

impl Graphs {
    /// Captures both graphs.
    pub(super) fn capture(parts: &GraphInputs<'_>) -> Result<Self> {
        let GraphInputs { config, dtype, slots, .. } = *parts;
        check(config)?;
        let Device::Cuda(device) = parts.audio.device() else { candle_core::bail!("graphs are CUDA's") };
        let buffers = Buffers {
            // Positions of -1 for the first runs: no row takes part.
            inputs: device.clone_htod(&vec![u32::MAX; slots * (1 + CODEBOOKS)])?,
            draws: device.alloc_zeros(slots * DRAW_WORDS)?,
            frames: device.alloc_zeros(slots * FRAME_WORDS)?,
            logits: device.alloc_zeros(CODEBOOKS * slots * config.audio_vocab)?,
            backbone: GraphScratch::new(&config.backbone, slots, dtype, device)?,
            depth: GraphScratch::new(&config.depth, slots, dtype, device)?,
        };
        let steps = FrameSteps::new(parts, &buffers, device)?;
        let stream = device.cuda_stream();
        let (read_frames, step) = (captured(device, || steps.read_frames())?, captured(device, || steps.step())?);
        let held = steps.tensors();
        Ok(Self { stream, read_frames, step, slots, audio_vocab: config.audio_vocab, _held: held, buffers })
    }

    /// Reads one frame per row.
    pub(super) fn read_frames(&mut self, rows: &[FrameInput]) -> Result<()> {
        let mut words = vec![0; self.slots * (1 + CODEBOOKS)];
        let (positions, codes) = words.split_at_mut(self.slots);
        positions.fill(u32::MAX);
        for input in rows {
            positions[input.slot] = u32::try_from(input.position).unwrap_or(u32::MAX);
            codes[input.slot * CODEBOOKS..][..CODEBOOKS].copy_from_slice(&input.frame);
        }
        self.stream.memcpy_htod(&words, &mut self.buffers.inputs).w()?;
        self.read_frames.launch().w()
    }

    /// Makes one frame per row.
    pub(super) fn step(
        &mut self,
        rows: &[Row],
        sampler: &mut FrameSampler,
    ) -> std::result::Result<Vec<Frame>, ModelError> {
        let mut words = vec![0; self.slots * DRAW_WORDS];
        for Row { slot, sampling, frame_index } in rows {
            let seed = sampling.seed.get();
            #[expect(clippy::cast_possible_truncation, reason = "the seed's two halves")]
            let draw = [
                seed as u32,
                (seed >> 32) as u32,
                *frame_index,
                sampling.temperature.get().to_bits(),
                sampling.topk.get(),
                1,
            ];
            words[slot * DRAW_WORDS..][..DRAW_WORDS].copy_from_slice(&draw);
        }
        self.stream.memcpy_htod(&words, &mut self.buffers.draws).w()?;
        self.step.launch().w()?;
        let answers = self.stream.clone_dtoh(&self.buffers.frames).w()?;
        if sampler.is_traced() {
            let logits = self.stream.clone_dtoh(&self.buffers.logits).w()?;
            logits.chunks(self.slots * self.audio_vocab).for_each(|all| sampler.trace_logits(all, self.audio_vocab));
        }
        let frame = |row: &Row| {
            let (codes, broken) = answers[row.slot * FRAME_WORDS..][..FRAME_WORDS].split_at(CODEBOOKS);
            match broken[0] as usize {
                0 => Ok(codes.try_into().unwrap_or(END_FRAME)),
                after => Err(ModelError::NotFinite { frame_index: row.frame_index, codebook: after - 1 }),
            }
        };
        rows.iter().map(frame).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        let Buffers { inputs, draws, frames, logits, backbone, depth } = &self.buffers;
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let scratch = |s: &GraphScratch| s.x.num_bytes() + s.qkv.num_bytes() + of(&s.mixed) + of(&s.gated);
        [inputs.num_bytes(), draws.num_bytes(), frames.num_bytes(), logits.num_bytes()].iter().sum::<usize>()
            + scratch(backbone)
            + scratch(depth)
    }
}

/// Checks the limits of the kernels. CSM-1B is just within them: 2048 codes, and heads of 128 in
/// the depth decoder.
fn check(config: &CsmConfig) -> Result<()> {
    if config.codebook_size > CODES_MAX {
        candle_core::bail!("on CUDA a codebook has at most {CODES_MAX} codes, and not {}", config.codebook_size);
    }
    for (name, part) in [("backbone", &config.backbone), ("depth decoder", &config.depth)] {
        let whole = [
            ("hidden_size", part.hidden, 8),
            ("intermediate_size", part.intermediate, 8),
            ("head_dim", part.head_dim, 4),
        ];
        for (field, value, of) in whole {
            if value % of != 0 {
                candle_core::bail!("on CUDA the {name}'s {field} must be a multiple of {of}, and is {value}");
            }
        }
        if part.head_dim > HEAD_DIM_MAX {
            candle_core::bail!(
                "on CUDA the {name}'s head_dim must be at most {HEAD_DIM_MAX}, and is {}",
                part.head_dim
            );
        }
        let group = part.heads / part.kv_heads;
        if ![1, 2, 4].contains(&group) {
            candle_core::bail!("on CUDA 1, 2 or 4 heads of the {name} may share a key head, not {group}");
        }
    }
    Ok(())
}

/// Captures the launches of `record` after a first run of them: a kernel cannot be loaded while a
/// graph is captured.
fn captured(device: &CudaDevice, record: impl Fn() -> Result<()>) -> Result<CudaGraph> {
    record()?;
    device.synchronize()?;
    let stream = device.cuda_stream();
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).w()?;
    let recorded = record();
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).w();
    recorded?;
    let Some(graph) = graph? else { candle_core::bail!("a graph without a kernel") };
    graph.upload().w()?;
    Ok(graph)
}
