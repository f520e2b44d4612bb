//! The decoder's transformer over the rows of all signals: products are shared, attention runs in
//! each signal's own window.
//!
//! A latent attends to itself and the `sliding_window - 1` before it. Keys and values are in a ring
//! of `sliding_window` places. A latent's place is its position modulo the window. The latent is
//! written before it attends, so the ring holds exactly its window. The order of the places depends
//! on the position alone, and so do the bits of every sum.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::numbers;
use crate::codec::{MimiConfig, PACKING_THREADS};
use csm_kernels::WeightFormat;
use csm_kernels::rowwise::{add_scaled, dot_all, gelu, layer_norm, mix, rotate, softmax};
use csm_kernels::{Matrix, Pool};

/// Weights of the decoder's transformer.
pub(super) struct DecoderTransformer {
    layers: Vec<DecoderLayer>,
    /// Radians per position, for half a head.
    frequencies: Vec<f32>,
    heads: usize,
    hidden: usize,
    window: usize,
    eps: f32,
}

struct DecoderLayer {
    attention_norm: CodecLayerNorm,
    qkv: Matrix,
    out: Matrix,
    attention_scale: Vec<f32>,
    mlp_norm: CodecLayerNorm,
    up: Matrix,
    down: Matrix,
    mlp_scale: Vec<f32>,
}

struct CodecLayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Keys and values of one signal that later latents may still attend to.
pub(super) struct AttentionWindow {
    layers: Vec<Ring>,
    /// Number of latents seen.
    position: usize,
}

struct Ring {
    /// Keys `(heads, head_dim, window)`.
    keys: Vec<f32>,
    /// Values `(heads, window, head_dim)`.
    values: Vec<f32>,
}

/// Part of one signal in a call.
pub(super) struct Attending<'a> {
    pub(super) window: &'a mut AttentionWindow,
    /// Number of latents in this call.
    pub(super) steps: usize,
}

/// Attention of one signal in one layer.
struct AttendTask<'a> {
    ring: &'a mut Ring,
    position: usize,
    qkv: &'a mut [f32],
    mixed: &'a mut [f32],
    scores: &'a mut [f32],
}

/// Buffers of one pass.
#[derive(Default)]
pub(super) struct TransformerScratch {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    scores: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl CodecLayerNorm {
    fn load(width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self { weight: numbers(vb, "weight", &[width])?, bias: numbers(vb, "bias", &[width])? })
    }

    fn forward(&self, x: &[f32], eps: f32, y: &mut Vec<f32>) {
        y.resize(x.len(), 0.0);
        layer_norm(x, &self.weight, &self.bias, eps, y);
    }
}

impl DecoderLayer {
    fn load(config: &MimiConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let matrix = |names: &[&str], out: usize, width: usize| {
            let mut weight = Vec::with_capacity(names.len() * out * width);
            for name in names {
                weight.extend(numbers(&vb.pp(name), "weight", &[out, width])?);
            }
            Matrix::new(WeightFormat::F32, &weight, names.len() * out, width, PACKING_THREADS)
        };
        Ok(Self {
            attention_norm: CodecLayerNorm::load(hidden, &vb.pp("input_layernorm"))?,
            qkv: matrix(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], hidden, hidden)?,
            out: matrix(&["self_attn.o_proj"], hidden, hidden)?,
            attention_scale: numbers(vb, "self_attn_layer_scale.scale", &[hidden])?,
            mlp_norm: CodecLayerNorm::load(hidden, &vb.pp("post_attention_layernorm"))?,
            up: matrix(&["mlp.fc1"], inner, hidden)?,
            down: matrix(&["mlp.fc2"], hidden, inner)?,
            mlp_scale: numbers(vb, "mlp_layer_scale.scale", &[hidden])?,
        })
    }
}

impl DecoderTransformer {
    pub(super) fn load(config: &MimiConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let vb = vb.pp("layers");
        let layers =
            (0..config.layers).map(|index| DecoderLayer::load(config, &vb.pp(index))).collect::<Result<Vec<_>>>()?;
        let head_dim = config.hidden / config.heads;
        #[expect(clippy::cast_possible_truncation, reason = "the numbers are f32, as the reference's")]
        let frequency = |pair: usize| config.rope_theta.powf(-((2 * pair) as f64) / head_dim as f64) as f32;
        #[expect(clippy::cast_possible_truncation, reason = "as above")]
        let eps = config.norm_eps as f32;
        Ok(Self {
            layers,
            frequencies: (0..head_dim / 2).map(frequency).collect(),
            heads: config.heads,
            hidden: config.hidden,
            window: config.sliding_window,
            eps,
        })
    }

    /// Returns the bytes of the weights, without norms and scales, which are a thousandth of them.
    pub(super) fn bytes(&self) -> usize {
        let layer = |layer: &DecoderLayer| {
            [&layer.qkv, &layer.out, &layer.up, &layer.down].map(Matrix::bytes).iter().sum::<usize>()
        };
        self.layers.iter().map(layer).sum()
    }

    /// Returns the window before the first latent.
    pub(super) fn new_window(&self) -> AttentionWindow {
        let floats = self.hidden * self.window;
        let ring = || Ring { keys: vec![0.0; floats], values: vec![0.0; floats] };
        AttentionWindow { layers: self.layers.iter().map(|_| ring()).collect(), position: 0 }
    }

    /// Returns the floats of one signal's window.
    pub(super) fn window_floats(&self) -> usize {
        2 * self.layers.len() * self.hidden * self.window
    }

    /// Runs the stack in place on `x (steps, hidden)` of all signals, one after the other.
    pub(super) fn forward(
        &self,
        pool: &Pool,
        signals: &mut [Attending<'_>],
        x: &mut [f32],
        scratch: &mut TransformerScratch,
    ) {
        let hidden = self.hidden;
        let steps = x.len() / hidden;
        self.angles(signals, scratch);
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attention_norm.forward(x, self.eps, &mut scratch.normed);
            scratch.qkv.resize(3 * x.len(), 0.0);
            layer.qkv.apply(pool, &scratch.normed, hidden, steps, &mut scratch.qkv);
            self.attend(pool, index, signals, scratch);
            layer.out.apply(pool, &scratch.mixed, hidden, steps, &mut scratch.normed);
            add_scaled(x, &scratch.normed, &layer.attention_scale);

            layer.mlp_norm.forward(x, self.eps, &mut scratch.normed);
            scratch.inner.resize(steps * layer.up.out(), 0.0);
            layer.up.apply(pool, &scratch.normed, hidden, steps, &mut scratch.inner);
            gelu(&mut scratch.inner);
            layer.down.apply(pool, &scratch.inner, layer.down.width(), steps, &mut scratch.normed);
            add_scaled(x, &scratch.normed, &layer.mlp_scale);
        }
        for signal in signals {
            signal.window.position += signal.steps;
        }
    }

    /// Computes the rotary angles of all rows, which all layers share.
    fn angles(&self, signals: &[Attending<'_>], scratch: &mut TransformerScratch) {
        let positions = signals.iter().flat_map(|signal| signal.window.position..signal.window.position + signal.steps);
        scratch.cos.clear();
        scratch.sin.clear();
        for position in positions {
            for frequency in &self.frequencies {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                scratch.cos.push(cos);
                scratch.sin.push(sin);
            }
        }
    }

    /// Attends from `scratch.qkv` to `scratch.mixed`, with a task for each signal.
    fn attend(&self, pool: &Pool, layer: usize, signals: &mut [Attending<'_>], scratch: &mut TransformerScratch) {
        let TransformerScratch { normed, qkv, mixed, scores, cos, sin, .. } = scratch;
        mixed.resize(normed.len(), 0.0);
        scores.resize(signals.len() * self.window, 0.0);
        let half = self.frequencies.len();
        for ((qkv, cos), sin) in
            qkv.chunks_exact_mut(3 * self.hidden).zip(cos.chunks_exact(half)).zip(sin.chunks_exact(half))
        {
            rotate(&mut qkv[..2 * self.hidden], cos, sin);
        }
        let (mut qkv, mut mixed) = (qkv.as_mut_slice(), mixed.as_mut_slice());
        let mut tasks = Vec::with_capacity(signals.len());
        for (signal, scores) in signals.iter_mut().zip(scores.chunks_exact_mut(self.window)) {
            let floats = signal.steps * self.hidden;
            let (own_qkv, qkv_rest) = qkv.split_at_mut(3 * floats);
            let (own_mixed, mixed_rest) = mixed.split_at_mut(floats);
            (qkv, mixed) = (qkv_rest, mixed_rest);
            let position = signal.window.position;
            let ring = &mut signal.window.layers[layer];
            tasks.push(AttendTask { ring, position, qkv: own_qkv, mixed: own_mixed, scores });
        }
        pool.run_chunks(&mut tasks, 1, &|_, tasks| tasks.iter_mut().for_each(|task| self.attend_task(task)));
    }

    /// Attends for one signal's latents in order, each with its window.
    fn attend_task(&self, task: &mut AttendTask<'_>) {
        let (hidden, window) = (self.hidden, self.window);
        let head_dim = hidden / self.heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        for (step, (qkv, mixed)) in
            task.qkv.chunks_exact(3 * hidden).zip(task.mixed.chunks_exact_mut(hidden)).enumerate()
        {
            let position = task.position + step;
            let place = position % window;
            let scores = &mut task.scores[..window.min(position + 1)];
            let (query, rest) = qkv.split_at(hidden);
            let (key, value) = rest.split_at(hidden);
            let heads = query.chunks_exact(head_dim).zip(key.chunks_exact(head_dim)).zip(value.chunks_exact(head_dim));
            let rings = task
                .ring
                .keys
                .chunks_exact_mut(head_dim * window)
                .zip(task.ring.values.chunks_exact_mut(head_dim * window));
            for ((((query, key), value), (keys, values)), mixed) in
                heads.zip(rings).zip(mixed.chunks_exact_mut(head_dim))
            {
                for (keys, key) in keys.chunks_exact_mut(window).zip(key) {
                    keys[place] = *key;
                }
                values[place * head_dim..][..head_dim].copy_from_slice(value);
                dot_all(query, keys, scores);
                softmax(scores, scale);
                mix(scores, values, mixed);
            }
        }
    }
}
