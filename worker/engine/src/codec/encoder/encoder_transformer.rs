//! The encoder's transformer: causal, with a sliding window. The input is cut into blocks, which
//! bound the memory and change no number.
//!
//! A latent attends to itself and the `sliding_window - 1` before it. The keys before a block are
//! kept until the block has used them.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::rotary_emb::rope;
use candle_nn::{LayerNorm, Linear, Module, VarBuilder, layer_norm, linear_no_bias};

use crate::codec::MimiConfig;

/// Latents of a block; its scores take a few MB.
const MAX_BLOCK: usize = 512;

struct EncoderLayer {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    attention_scale: Tensor,
    mlp_norm: LayerNorm,
    up: Linear,
    down: Linear,
    mlp_scale: Tensor,
}

/// Transformer stack of the encoder.
pub(in crate::codec) struct EncoderTransformer {
    layers: Vec<EncoderLayer>,
    /// Radians per position, `(1, head_dim / 2)`.
    frequencies: Tensor,
    heads: usize,
    window: usize,
}

/// Keys and values that later blocks of a recording may still attend to.
struct Past {
    /// Keys and values of each layer, `(1, heads, kept, head_dim)`; `None` before the first latent.
    kept: Vec<Option<(Tensor, Tensor)>>,
    /// Number of latents seen.
    position: usize,
}

/// Inputs that all layers of a block share.
struct BlockInputs {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl EncoderLayer {
    fn load(config: &MimiConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let attention = vb.pp("self_attn");
        Ok(Self {
            attention_norm: layer_norm(hidden, config.norm_eps, vb.pp("input_layernorm"))?,
            query: linear_no_bias(hidden, hidden, attention.pp("q_proj"))?,
            key: linear_no_bias(hidden, hidden, attention.pp("k_proj"))?,
            value: linear_no_bias(hidden, hidden, attention.pp("v_proj"))?,
            out: linear_no_bias(hidden, hidden, attention.pp("o_proj"))?,
            attention_scale: vb.get(hidden, "self_attn_layer_scale.scale")?,
            mlp_norm: layer_norm(hidden, config.norm_eps, vb.pp("post_attention_layernorm"))?,
            up: linear_no_bias(hidden, inner, vb.pp("mlp.fc1"))?,
            down: linear_no_bias(inner, hidden, vb.pp("mlp.fc2"))?,
            mlp_scale: vb.get(hidden, "mlp_layer_scale.scale")?,
        })
    }

    /// Runs the layer on `x (1, t, hidden)`.
    fn forward(
        &self,
        x: &Tensor,
        heads: usize,
        keep: usize,
        block: &BlockInputs,
        kept: &mut Option<(Tensor, Tensor)>,
    ) -> Result<Tensor> {
        let attended = self.attend(&self.attention_norm.forward(x)?, heads, keep, block, kept)?;
        let x = (x + attended.broadcast_mul(&self.attention_scale)?)?;
        let mlp = self.down.forward(&self.up.forward(&self.mlp_norm.forward(&x)?)?.gelu_erf()?)?;
        x + mlp.broadcast_mul(&self.mlp_scale)?
    }

    fn attend(
        &self,
        x: &Tensor,
        heads: usize,
        keep: usize,
        block: &BlockInputs,
        kept: &mut Option<(Tensor, Tensor)>,
    ) -> Result<Tensor> {
        let (_, t, hidden) = x.dims3()?;
        let head_dim = hidden / heads;
        let split = |projection: &Linear| {
            projection.forward(x)?.reshape((1, t, heads, head_dim))?.transpose(1, 2)?.contiguous()
        };
        let query = rope(&split(&self.query)?, &block.cos, &block.sin)?;
        let key = rope(&split(&self.key)?, &block.cos, &block.sin)?;
        let value = split(&self.value)?;
        let (keys, values) = match kept.take() {
            None => (key, value),
            Some((keys, values)) => (Tensor::cat(&[keys, key], 2)?, Tensor::cat(&[values, value], 2)?),
        };
        let scores = (query.matmul(&keys.transpose(2, 3)?)? * (head_dim as f64).powf(-0.5))?;
        let weights = softmax_last_dim(&scores.broadcast_add(&block.mask)?)?;
        let mixed = weights.matmul(&values)?.transpose(1, 2)?.reshape((1, t, hidden))?;
        let total = keys.dim(2)?;
        let keep = keep.min(total);
        let last = |all: &Tensor| all.narrow(2, total - keep, keep)?.contiguous();
        *kept = Some((last(&keys)?, last(&values)?));
        self.out.forward(&mixed)
    }
}

impl EncoderTransformer {
    pub(in crate::codec) fn load(config: &MimiConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let layers = (0..config.layers)
            .map(|index| EncoderLayer::load(config, &vb.pp("layers").pp(index)))
            .collect::<Result<Vec<_>>>()?;
        let head_dim = config.hidden / config.heads;
        #[expect(clippy::cast_possible_truncation, reason = "the tables are f32, as the reference's")]
        let frequencies: Vec<f32> = (0..head_dim / 2)
            .map(|pair| config.rope_theta.powf(-((2 * pair) as f64) / head_dim as f64) as f32)
            .collect();
        let frequencies = Tensor::from_vec(frequencies, (1, head_dim / 2), vb.device())?;
        Ok(Self { layers, frequencies, heads: config.heads, window: config.sliding_window })
    }

    /// Runs the stack on a whole recording `x (1, hidden, t)`, channels first as in the
    /// convolutions.
    pub(in crate::codec) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut past = Past { kept: vec![None; self.layers.len()], position: 0 };
        let x = x.transpose(1, 2)?.contiguous()?;
        let t = x.dim(1)?;
        let blocks = (0..t)
            .step_by(MAX_BLOCK)
            .map(|start| self.block(&x.narrow(1, start, MAX_BLOCK.min(t - start))?.contiguous()?, &mut past))
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&blocks, 1)?.transpose(1, 2)?.contiguous()
    }

    fn block(&self, x: &Tensor, past: &mut Past) -> Result<Tensor> {
        let t = x.dim(1)?;
        let before = (self.window - 1).min(past.position);
        let positions = (past.position..past.position + t).map(|position| position as f32).collect();
        let angles = Tensor::from_vec(positions, (t, 1), x.device())?.broadcast_mul(&self.frequencies)?;
        let block =
            BlockInputs { cos: angles.cos()?, sin: angles.sin()?, mask: mask(before, t, self.window, x.device())? };
        let mut x = x.clone();
        for (layer, kept) in self.layers.iter().zip(&mut past.kept) {
            x = layer.forward(&x, self.heads, self.window - 1, &block, kept)?;
        }
        past.position += t;
        Ok(x)
    }
}

/// Returns the mask `(t, before + t)`. An entry is 0 if latent `i` may attend to key `j`, else -inf
/// (the key is ahead or outside the window).
fn mask(before: usize, t: usize, window: usize, device: &Device) -> Result<Tensor> {
    let visible = |i: usize, j: usize| j <= before + i && before + i - j < window;
    let mask: Vec<f32> = (0..t)
        .flat_map(|i| (0..before + t).map(move |j| if visible(i, j) { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Tensor::from_vec(mask, (t, before + t), device)?.to_dtype(DType::F32)
}
