//! A frame on CUDA: two graphs of our own kernels (`graph/step.cu`), captured once and replayed for every frame.
//!
//! One reads the frames that were spoken last, the other speaks the next ones, drawing included; each is one launch for the
//! host, and a frame brings one transfer back. Every slot is computed in every step, those that take no part too: their
//! weights are read anyway, and a graph has one shape. The prompt goes through candle's products ([`super::stack`]) into the
//! same keys, values and states.

mod launch;

use std::sync::Arc;

use candle_core::backend::BackendDevice as _;
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, CudaSlice, CudaStream, sys};
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};
use candle_core::{DType, Device, Result, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

use super::attention::Attention;
use super::depth::Depth;
use super::linear::Linear;
use super::stack::{KvCache, Stack};
use crate::model::net::{Hear, Row, Taken};
use crate::model::{CsmConfig, END_FRAME, ModelError, TransformerConfig, WeightFormat};

pub(super) use launch::address;
use launch::{Kernels, address_of};

// As the kernels have them.
const THREADS: u32 = 256;
const WARPS: usize = 8;
const ATTEND_THREADS: u32 = 512;
const SAMPLE_THREADS: u32 = 512;
const CHUNK: usize = 32;
const TILE_OUTS: usize = 8;
const PLACES: usize = 24;
const CODES_MAX: usize = 2048;
const HEAD_DIM_MAX: usize = 128;
/// Bytes of a place for every thread.
const PLACE_BYTES: usize = 16 * THREADS as usize;
/// Numbers of rows that products of bf16 and Q8_0 are compiled for, in eights.
const EIGHTS: [usize; 3] = [1, 2, 4];
/// Products of at most this many outputs are cut finer, so that they fill the device.
const FEW_OUTS: usize = 2048;
/// Tiles of a block of the gated product.
const GATED_TILES: usize = 8;
/// Bytes of shared memory that every device from compute capability 8.0 on gives a block.
const SHARED_BYTES: usize = 99 * 1024;
/// Words that say how a row draws: `Draw` of the kernels.
const DRAW_WORDS: usize = 6;
/// Words of a row's answer: its codes, and what was wrong with its logits.
const FRAME_WORDS: usize = CODEBOOKS + 1;

/// What the graphs read and write, beside what they share with the prompt's way.
pub(super) struct Graphs {
    stream: Arc<CudaStream>,
    take: CudaGraph,
    speak: CudaGraph,
    buffers: Buffers,
    slots: usize,
    audio_vocab: usize,
    /// What the graphs name by address alone. The matrices are held by the pass that these belong to.
    _held: Vec<Tensor>,
}

// SAFETY: a graph is launched through `&mut` or by dropping it, so by one thread at a time, as CUDA asks.
#[expect(unsafe_code, reason = "cudarc's graphs hold pointers and say nothing of threads")]
unsafe impl Send for Graphs {}

/// Device memory between host and kernels, and between kernels.
struct Buffers {
    /// `(slots)` positions, -1 for rows that read nothing; behind them `(slots, 32)` codes.
    taken: CudaSlice<u32>,
    /// `(slots, DRAW_WORDS)`.
    draws: CudaSlice<u32>,
    /// `(slots, FRAME_WORDS)`.
    frames: CudaSlice<u32>,
    /// `(32, slots, audio_vocab)`: what the last codes were drawn from.
    logits: CudaSlice<f32>,
    backbone: Scratch,
    depth: Scratch,
}

/// One transformer's values between its kernels, of all slots.
struct Scratch {
    /// `(slots, hidden)`, the residual stream.
    x: CudaSlice<f32>,
    /// `(slots, (heads + 2 * kv_heads) * head_dim)`.
    qkv: CudaSlice<f32>,
    /// `(slots, heads * head_dim)`.
    mixed: Tensor,
    /// `(slots, intermediate)`.
    gated: Tensor,
}

impl Scratch {
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

/// What the graphs are made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a CsmConfig,
    pub(super) format: WeightFormat,
    pub(super) dtype: DType,
    /// `(32 * audio_vocab, hidden)`.
    pub(super) audio: &'a Tensor,
    pub(super) backbone: &'a Stack,
    pub(super) head: &'a Linear,
    pub(super) depth: &'a Depth,
    pub(super) kv: &'a KvCache,
    /// `(slots, 1, hidden)`.
    pub(super) hidden: &'a Tensor,
    pub(super) slots: usize,
}

/// One transformer as its kernels are given it.
struct Transformer<'a> {
    config: &'a TransformerConfig,
    stack: &'a Stack,
    kv: &'a KvCache,
    scratch: &'a Scratch,
    layers: Vec<Gains>,
    /// Of the final norm, f32.
    gains: Tensor,
    cos: Tensor,
    sin: Tensor,
    capacity: usize,
}

/// One layer's gains, f32.
struct Gains {
    attention: Tensor,
    mlp: Tensor,
}

/// Where the rows of a pass stand.
#[derive(Clone, Copy)]
enum At {
    /// Each where the buffer of positions says.
    Own(u64),
    /// All at one.
    Together(usize),
}

/// What is done with a product's sums.
#[derive(Clone, Copy)]
enum Product {
    /// Of the input as it is, stored.
    Plain,
    /// Of the input as it is, added.
    Added,
    /// Of the normed input, stored.
    Normed,
    /// Of the normed input, two products gated into one.
    Gated,
}

impl Graphs {
    /// Captures both graphs.
    pub(super) fn capture(parts: &Parts<'_>) -> Result<Self> {
        let Parts { config, dtype, slots, .. } = *parts;
        check(config)?;
        let Device::Cuda(device) = parts.audio.device() else { candle_core::bail!("graphs are CUDA's") };
        let buffers = Buffers {
            // Rows that take no part, for the first runs.
            taken: device.clone_htod(&vec![u32::MAX; slots * (1 + CODEBOOKS)])?,
            draws: device.alloc_zeros(slots * DRAW_WORDS)?,
            frames: device.alloc_zeros(slots * FRAME_WORDS)?,
            logits: device.alloc_zeros(CODEBOOKS * slots * config.audio_vocab)?,
            backbone: Scratch::new(&config.backbone, slots, dtype, device)?,
            depth: Scratch::new(&config.depth, slots, dtype, device)?,
        };
        let backbone = Transformer::new(&config.backbone, parts.backbone, parts.kv, &buffers.backbone)?;
        let depth = Transformer::new(&config.depth, &parts.depth.stack, &parts.depth.kv, &buffers.depth)?;
        let steps = Steps { parts, kernels: Kernels::new(device)?, buffers: &buffers, backbone, depth };
        let stream = device.cuda_stream();
        let (take, speak) = (captured(device, || steps.take())?, captured(device, || steps.speak())?);
        let mut held: Vec<_> = [&steps.backbone, &steps.depth].into_iter().flat_map(Transformer::tensors).collect();
        held.extend([parts.audio.clone(), parts.hidden.clone(), parts.depth.rows.clone()]);
        Ok(Self { stream, take, speak, slots, audio_vocab: config.audio_vocab, _held: held, buffers })
    }

    /// Reads one frame per row.
    pub(super) fn take(&mut self, rows: &[Taken]) -> Result<()> {
        let mut words = vec![0; self.slots * (1 + CODEBOOKS)];
        let (positions, codes) = words.split_at_mut(self.slots);
        positions.fill(u32::MAX);
        for taken in rows {
            positions[taken.slot] = u32::try_from(taken.position).unwrap_or(u32::MAX);
            codes[taken.slot * CODEBOOKS..][..CODEBOOKS].copy_from_slice(&taken.frame);
        }
        self.stream.memcpy_htod(&words, &mut self.buffers.taken).w()?;
        self.take.launch().w()
    }

    /// Speaks one frame per row.
    pub(super) fn speak(&mut self, rows: &[Row], hear: &mut Hear) -> std::result::Result<Vec<Frame>, ModelError> {
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
        self.speak.launch().w()?;
        let answers = self.stream.clone_dtoh(&self.buffers.frames).w()?;
        if hear.is_traced() {
            let logits = self.stream.clone_dtoh(&self.buffers.logits).w()?;
            logits.chunks(self.slots * self.audio_vocab).for_each(|all| hear.see(all, self.audio_vocab));
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
        let Buffers { taken, draws, frames, logits, backbone, depth } = &self.buffers;
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let scratch = |s: &Scratch| s.x.num_bytes() + s.qkv.num_bytes() + of(&s.mixed) + of(&s.gated);
        [taken.num_bytes(), draws.num_bytes(), frames.num_bytes(), logits.num_bytes()].iter().sum::<usize>()
            + scratch(backbone)
            + scratch(depth)
    }
}

/// What the kernels are made for; every CSM checkpoint is far inside.
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

/// Captures the launches of `record`, behind a first run of them: a kernel cannot be loaded while a graph is captured.
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

impl<'a> Transformer<'a> {
    fn new(config: &'a TransformerConfig, stack: &'a Stack, kv: &'a KvCache, scratch: &'a Scratch) -> Result<Self> {
        let gains = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.force_contiguous();
        let layers = stack
            .layers
            .iter()
            .map(|layer| Ok(Gains { attention: gains(&layer.attention_norm)?, mlp: gains(&layer.mlp_norm)? }))
            .collect::<Result<_>>()?;
        let capacity = kv.capacity()?;
        Ok(Self {
            config,
            stack,
            kv,
            scratch,
            layers,
            gains: gains(&stack.norm)?,
            cos: gains(&stack.cos)?,
            sin: gains(&stack.sin)?,
            capacity,
        })
    }

    /// What the kernels name by address.
    fn tensors(&self) -> Vec<Tensor> {
        let gains = self.layers.iter().flat_map(|gains| [gains.attention.clone(), gains.mlp.clone()]);
        let caches = self.kv.layers.iter().flat_map(|layer| [layer.keys.clone(), layer.values.clone()]);
        gains.chain(caches).chain([self.gains.clone(), self.cos.clone(), self.sin.clone()]).collect()
    }
}

/// The launches of both graphs, in order.
struct Steps<'a> {
    parts: &'a Parts<'a>,
    kernels: Kernels<'a>,
    buffers: &'a Buffers,
    backbone: Transformer<'a>,
    depth: Transformer<'a>,
}

impl Steps<'_> {
    fn take(&self) -> Result<()> {
        let Parts { config, slots, .. } = *self.parts;
        let (hidden, vocab) = (config.backbone.hidden, config.audio_vocab);
        let positions = address_of(&self.buffers.taken);
        let codes = positions + (slots * size_of::<u32>()) as u64;
        let x = address_of(&self.buffers.backbone.x);
        let grid = (hidden.div_ceil(THREADS as usize), slots);
        let table = address(self.parts.audio)?;
        let parameters = [table, codes, positions, x, hidden as u64, vocab as u64];
        self.kernels.launch(&self.typed("embed"), grid, THREADS, 0, &parameters)?;
        self.pass(&self.backbone, At::Own(positions), true)?;
        let (gains, eps) = (address(&self.backbone.gains)?, float(self.backbone.stack.eps));
        let parameters = [x, gains, eps, positions, address(self.parts.hidden)?, hidden as u64];
        self.kernels.launch(&self.typed("settle"), (slots, 1), THREADS, 0, &parameters)
    }

    fn speak(&self) -> Result<()> {
        let Parts { depth, head, .. } = *self.parts;
        let hidden = address(self.parts.hidden)?;
        let x = address_of(&self.buffers.depth.x);
        self.product(Product::Plain, &depth.projection, hidden, None, x)?;
        // Nobody looks at position 0 but through the keys and values that it leaves.
        self.pass(&self.depth, At::Together(0), false)?;
        self.product(Product::Plain, head, hidden, None, self.logits(0))?;
        self.sample(0)?;
        for codebook in 1..CODEBOOKS {
            self.pass(&self.depth, At::Together(codebook), true)?;
            let norm = Some((&self.depth.gains, self.depth.stack.eps));
            self.product(Product::Normed, &depth.heads[codebook - 1], x, norm, self.logits(codebook))?;
            self.sample(codebook)?;
        }
        Ok(())
    }

    /// Takes the residual stream through all layers; unless it is `whole`, the last one is left once it has its keys and
    /// values.
    fn pass(&self, part: &Transformer<'_>, at: At, whole: bool) -> Result<()> {
        let Transformer { stack, scratch, .. } = part;
        let (x, qkv) = (address_of(&scratch.x), address_of(&scratch.qkv));
        let (mixed, gated) = (address(&scratch.mixed)?, address(&scratch.gated)?);
        for (index, (layer, gains)) in stack.layers.iter().zip(&part.layers).enumerate() {
            let Attention { qkv: into, out, .. } = &layer.attention;
            self.product(Product::Normed, into, x, Some((&gains.attention, stack.eps)), qkv)?;
            self.attend(part, index, at)?;
            if !whole && index + 1 == stack.layers.len() {
                break;
            }
            self.product(Product::Added, out, mixed, None, x)?;
            self.product(Product::Gated, &layer.gate_up, x, Some((&gains.mlp, stack.eps)), gated)?;
            self.product(Product::Added, &layer.down, gated, None, x)?;
        }
        Ok(())
    }

    fn product(&self, kind: Product, by: &Linear, x: u64, norm: Option<(&Tensor, f32)>, y: u64) -> Result<()> {
        let (name, sides) = match kind {
            Product::Plain => ("plain", 1),
            Product::Added => ("added", 1),
            Product::Normed => ("normed", 1),
            Product::Gated => ("gated", 2),
        };
        let slots = self.parts.slots;
        let outs = by.outs() / sides;
        let format = self.parts.format.name();
        let (name, outs_of_a_block, shared) = if self.parts.format == WeightFormat::F32 {
            (format!("{name}_{format}"), WARPS, 0)
        } else {
            let tiles = if sides == 2 { GATED_TILES } else { 1 + usize::from(outs > FEW_OUTS) };
            let eights = EIGHTS.into_iter().find(|eights| slots <= eights * 8).unwrap_or(EIGHTS[2]);
            // The ring of weights, and later the sums in its place.
            let chunks_of_a_warp = by.width().div_ceil(CHUNK).div_ceil(WARPS);
            let ring = (chunks_of_a_warp * tiles).min(PLACES / tiles * tiles) * PLACE_BYTES;
            let sums = WARPS * eights * 8 * tiles * TILE_OUTS * size_of::<f32>();
            (format!("{name}_{format}_{eights}_{tiles}"), tiles / sides * TILE_OUTS, ring.max(sums))
        };
        let (gains, eps) = match norm {
            Some((gains, eps)) => (address(gains)?, float(eps)),
            None => (0, 0),
        };
        let parameters = [by.address()?, x, gains, eps, y, slots as u64, by.width() as u64, outs as u64];
        self.kernels.launch(&name, (outs.div_ceil(outs_of_a_block), 1), THREADS, shared, &parameters)
    }

    fn attend(&self, part: &Transformer<'_>, layer: usize, at: At) -> Result<()> {
        let Transformer { config, scratch, capacity, .. } = part;
        let (kv_heads, dim, group) = (config.kv_heads, config.head_dim, config.heads / config.kv_heads);
        let cache = &part.kv.layers[layer];
        let (positions, together) = match at {
            At::Own(positions) => (positions, 0),
            At::Together(position) => (0, position as u64),
        };
        let parameters = [
            address_of(&scratch.qkv),
            address(&part.cos)?,
            address(&part.sin)?,
            address(&cache.keys)?,
            address(&cache.values)?,
            address(&scratch.mixed)?,
            positions,
            together,
            kv_heads as u64,
            dim as u64,
            *capacity as u64,
        ];
        // Queries, sums, the new key and value, and the scores or, later, the parts of the result: 4 dimensions a thread.
        let parts_of_the_result = 4 * ATTEND_THREADS as usize;
        let shared = (group * (dim + 1 + (*capacity).max(parts_of_the_result)) + 2 * dim) * size_of::<f32>();
        if shared > SHARED_BYTES {
            candle_core::bail!(
                "attention over {capacity} positions needs {shared} bytes of shared memory, of {SHARED_BYTES}"
            );
        }
        let name = format!("{}_{group}_{}", self.typed("attend"), dim.div_ceil(CHUNK).next_power_of_two());
        self.kernels.launch(&name, (kv_heads, self.parts.slots), ATTEND_THREADS, shared, &parameters)
    }

    fn sample(&self, codebook: usize) -> Result<()> {
        let Parts { config, depth, slots, .. } = *self.parts;
        let (vocab, hidden) = (config.audio_vocab, config.depth.hidden);
        // The last code is not read back.
        let table =
            if codebook + 1 < CODEBOOKS { address(&depth.rows.narrow(0, codebook * vocab, vocab)?)? } else { 0 };
        let parameters = [
            self.logits(codebook),
            address_of(&self.buffers.draws),
            address_of(&self.buffers.frames),
            table,
            address_of(&self.buffers.depth.x),
            codebook as u64,
            config.codebook_size.min(vocab) as u64,
            vocab as u64,
            hidden as u64,
        ];
        self.kernels.launch(&self.typed("sample"), (slots, 1), SAMPLE_THREADS, 0, &parameters)
    }

    fn logits(&self, codebook: usize) -> u64 {
        let Parts { config, slots, .. } = *self.parts;
        address_of(&self.buffers.logits) + (codebook * slots * config.audio_vocab * size_of::<f32>()) as u64
    }

    /// A kernel's name with the type of keys, values and tables.
    fn typed(&self, name: &str) -> String {
        format!("{name}_{}", if self.parts.dtype == DType::BF16 { "bf16" } else { "f32" })
    }
}

/// A float as a parameter.
fn float(value: f32) -> u64 {
    u64::from(value.to_bits())
}
