//! Launches of the kernels of both graphs, in order.

use candle_core::cuda_backend::CudaDevice;
use candle_core::{DType, Result, Tensor};
use csm_shared::audio::CODEBOOKS;

use super::launch::Kernels;
use super::{Buffers, GraphInputs, GraphScratch};
use crate::model::tensor::attention::Attention;
use crate::model::tensor::cache::TensorKvCache;
use crate::model::tensor::device_address::{address, address_of};
use crate::model::tensor::linear::Linear;
use crate::model::tensor::stack::TensorStack;
use crate::model::{TransformerConfig, WeightFormat};

// Constants of `step.cu`, with the same values.
const THREADS: u32 = 256;
const WARPS: usize = 8;
const ATTEND_THREADS: u32 = 512;
const SAMPLE_THREADS: u32 = 512;
const CHUNK: usize = 32;
const TILE_OUTS: usize = 8;
const PLACES: usize = 24;
/// Bytes of one place of the ring for all threads of a block.
const PLACE_BYTES: usize = 16 * THREADS as usize;
/// Row counts, in eights, for which the products of bf16 and Q8_0 are compiled.
const EIGHTS: [usize; 3] = [1, 2, 4];
/// Most outputs of a product that is cut finer, so that it fills the device.
const FEW_OUTS: usize = 2048;
/// Tiles per block of the gated product.
const GATED_TILES: usize = 8;
/// Bytes of shared memory that a block can have on every device from compute capability 8.0 on.
const SHARED_BYTES: usize = 99 * 1024;

/// Transformer with the buffers and gains that its kernels use.
struct CapturedTransformer<'a> {
    config: &'a TransformerConfig,
    stack: &'a TensorStack,
    kv: &'a TensorKvCache,
    scratch: &'a GraphScratch,
    layers: Vec<Gains>,
    /// Gains of the final norm, f32.
    gains: Tensor,
    cos: Tensor,
    sin: Tensor,
}

/// Gains of one layer's norms, f32.
struct Gains {
    attention: Tensor,
    mlp: Tensor,
}

/// Positions of the rows of a pass.
#[derive(Clone, Copy)]
enum At {
    /// A position for each row, in the buffer at this address.
    Own(u64),
    /// The same position for all rows.
    Together(usize),
}

/// Gains of a norm, f32, and its epsilon.
type Norm<'a> = (&'a Tensor, f32);

/// Kind of a product: its input, and the use of its sums.
#[derive(Clone, Copy)]
enum Product<'a> {
    /// Input as it is; sums stored.
    Plain,
    /// Input as it is; sums added to the output.
    Added,
    /// Normed input; sums stored.
    Normed(Norm<'a>),
    /// Normed input; the sums of two products gated into one.
    Gated(Norm<'a>),
}

/// The launches of both graphs, in order.
pub(super) struct FrameSteps<'a> {
    parts: &'a GraphInputs<'a>,
    kernels: Kernels<'a>,
    buffers: &'a Buffers,
    backbone: CapturedTransformer<'a>,
    depth: CapturedTransformer<'a>,
}

impl<'a> FrameSteps<'a> {
    pub(super) fn new(parts: &'a GraphInputs<'a>, buffers: &'a Buffers, device: &'a CudaDevice) -> Result<Self> {
        let GraphInputs { config, depth, .. } = *parts;
        Ok(Self {
            parts,
            kernels: Kernels::new(device)?,
            buffers,
            backbone: CapturedTransformer::new(&config.backbone, parts.backbone, parts.kv, &buffers.backbone)?,
            depth: CapturedTransformer::new(&config.depth, &depth.stack, &depth.kv, &buffers.depth)?,
        })
    }

    /// Returns the tensors whose addresses the kernels receive, except buffers and matrices.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let GraphInputs { audio, hidden, depth, .. } = *self.parts;
        let shared = [audio, hidden, &depth.rows].map(Clone::clone);
        [&self.backbone, &self.depth].into_iter().flat_map(CapturedTransformer::tensors).chain(shared).collect()
    }

    /// Launches the reading of the frames in the buffer.
    pub(super) fn read_frames(&self) -> Result<()> {
        let GraphInputs { config, slots, .. } = *self.parts;
        let (hidden, vocab) = (config.backbone.hidden, config.audio_vocab);
        let positions = address_of(&self.buffers.inputs);
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

    /// Launches the making of frames into the buffer, from the positions that the slots have read.
    pub(super) fn step(&self) -> Result<()> {
        let GraphInputs { depth, head, .. } = *self.parts;
        let hidden = address(self.parts.hidden)?;
        let x = address_of(&self.buffers.depth.x);
        self.product(Product::Plain, &depth.projection, hidden, x)?;
        // Only the keys and values of position 0 are used later.
        self.pass(&self.depth, At::Together(0), false)?;
        self.product(Product::Plain, head, hidden, self.logits(0))?;
        self.sample(0)?;
        for codebook in 1..CODEBOOKS {
            self.pass(&self.depth, At::Together(codebook), true)?;
            let normed = Product::Normed((&self.depth.gains, self.depth.stack.eps));
            self.product(normed, &depth.heads[codebook - 1], x, self.logits(codebook))?;
            self.sample(codebook)?;
        }
        Ok(())
    }

    /// Takes the residual stream through all layers. Unless `whole`, the last layer stops once its
    /// keys and values are written.
    fn pass(&self, part: &CapturedTransformer<'_>, at: At, whole: bool) -> Result<()> {
        let CapturedTransformer { stack, scratch, .. } = part;
        let (x, qkv) = (address_of(&scratch.x), address_of(&scratch.qkv));
        let (mixed, gated) = (address(&scratch.mixed)?, address(&scratch.gated)?);
        for (index, (layer, gains)) in stack.layers.iter().zip(&part.layers).enumerate() {
            let Attention { qkv: into, out, .. } = &layer.attention;
            self.product(Product::Normed((&gains.attention, stack.eps)), into, x, qkv)?;
            self.attend(part, index, at)?;
            if !whole && index + 1 == stack.layers.len() {
                break;
            }
            self.product(Product::Added, out, mixed, x)?;
            self.product(Product::Gated((&gains.mlp, stack.eps)), &layer.gate_up, x, gated)?;
            self.product(Product::Added, &layer.down, gated, x)?;
        }
        Ok(())
    }

    fn product(&self, kind: Product<'_>, by: &Linear, x: u64, y: u64) -> Result<()> {
        let (name, sides, norm) = match kind {
            Product::Plain => ("plain", 1, None),
            Product::Added => ("added", 1, None),
            Product::Normed(norm) => ("normed", 1, Some(norm)),
            Product::Gated(norm) => ("gated", 2, Some(norm)),
        };
        let slots = self.parts.slots;
        let outs = by.outs() / sides;
        let format = self.parts.format.name();
        let (name, outs_of_a_block, shared) = if self.parts.format == WeightFormat::F32 {
            (format!("{name}_{format}"), WARPS, 0)
        } else {
            let tiles = if sides == 2 { GATED_TILES } else { 1 + usize::from(outs > FEW_OUTS) };
            let eights = EIGHTS.into_iter().find(|eights| slots <= eights * 8).unwrap_or(EIGHTS[2]);
            // Shared memory holds the ring of weights, later the sums in its place.
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

    fn attend(&self, part: &CapturedTransformer<'_>, layer: usize, at: At) -> Result<()> {
        let CapturedTransformer { config, scratch, .. } = part;
        let capacity = part.kv.capacity()?;
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
            capacity as u64,
        ];
        // Shared memory holds queries, sums, the new key and value, and the scores. The parts of
        // the result, 4 dimensions a thread, take the place of the scores later.
        let parts_of_the_result = 4 * ATTEND_THREADS as usize;
        let shared = (group * (dim + 1 + capacity.max(parts_of_the_result)) + 2 * dim) * size_of::<f32>();
        if shared > SHARED_BYTES {
            candle_core::bail!(
                "attention over {capacity} positions needs {shared} bytes of shared memory, of {SHARED_BYTES}"
            );
        }
        let name = format!("{}_{group}_{}", self.typed("attend"), dim.div_ceil(CHUNK).next_power_of_two());
        self.kernels.launch(&name, (kv_heads, self.parts.slots), ATTEND_THREADS, shared, &parameters)
    }

    fn sample(&self, codebook: usize) -> Result<()> {
        let GraphInputs { config, depth, slots, .. } = *self.parts;
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
        let GraphInputs { config, slots, .. } = *self.parts;
        address_of(&self.buffers.logits) + (codebook * slots * config.audio_vocab * size_of::<f32>()) as u64
    }

    /// Returns the name of a kernel with the type of keys, values and tables.
    fn typed(&self, name: &str) -> String {
        format!("{name}_{}", if self.parts.dtype == DType::BF16 { "bf16" } else { "f32" })
    }
}

impl<'a> CapturedTransformer<'a> {
    fn new(
        config: &'a TransformerConfig,
        stack: &'a TensorStack,
        kv: &'a TensorKvCache,
        scratch: &'a GraphScratch,
    ) -> Result<Self> {
        let gains = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.force_contiguous();
        let layers = stack
            .layers
            .iter()
            .map(|layer| Ok(Gains { attention: gains(&layer.attention_norm)?, mlp: gains(&layer.mlp_norm)? }))
            .collect::<Result<_>>()?;
        Ok(Self {
            config,
            stack,
            kv,
            scratch,
            layers,
            gains: gains(&stack.norm)?,
            cos: gains(&stack.cos)?,
            sin: gains(&stack.sin)?,
        })
    }

    /// Returns the tensors whose addresses the kernels receive.
    fn tensors(&self) -> Vec<Tensor> {
        let gains = self.layers.iter().flat_map(|gains| [gains.attention.clone(), gains.mlp.clone()]);
        let caches = self.kv.layers.iter().flat_map(|layer| [layer.keys.clone(), layer.values.clone()]);
        gains.chain(caches).chain([self.gains.clone(), self.cos.clone(), self.sin.clone()]).collect()
    }
}

/// Returns the bits of a float, as a parameter.
fn float(value: f32) -> u64 {
    u64::from(value.to_bits())
}
