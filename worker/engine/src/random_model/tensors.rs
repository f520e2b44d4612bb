//! All tensors of a CSM and of its codec: name, shape and content.
//!
//! The names are those that `transformers` saves; the original names are made from them.

use std::borrow::Cow;

use safetensors::{Dtype, View};

use super::dims::{AUDIO_VOCAB, CODES, Dims, Mimi, RATIOS, StackDims};
use super::noise::{self, Fill};
use csm_shared::audio::CODEBOOKS;

/// Deviation of an audio embedding row: the sum of 32 rows weighs about as much as one text row.
const AUDIO_EMBEDDING_STD: f32 = 0.2;
/// Gain of the encoder's first convolution: speech at -25 dBFS moves the latents across codebook
/// cells.
const ENCODER_GAIN: f32 = 20.0;
/// Scale of what each Mimi transformer layer adds to its residual.
const LAYER_SCALE: f32 = 0.25;

/// Tensor to write; its data is made when the writer asks for it.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// Name that seeds the noise, the same in both layouts.
    seed_name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    fill: Fill,
    rows: Rows,
}

/// Order of a projection's output rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Order of the noise.
    AsMade,
    /// Reordered from halves to interleaved pairs within each head of `head_dim` rows.
    Interleaved { head_dim: usize },
}

impl Tensor {
    fn new(name: String, shape: &[usize], dtype: Dtype, fill: Fill) -> Self {
        Self { seed_name: name.clone(), name, shape: shape.to_vec(), dtype, fill, rows: Rows::AsMade }
    }

    /// Returns the same tensor with `prefix` before its name.
    pub(super) fn under(mut self, prefix: &str) -> Self {
        self.name.insert_str(0, prefix);
        self
    }

    /// Returns the same weight as the original (torchtune) files hold it.
    pub(super) fn into_original(mut self, dims: &Dims) -> Self {
        if self.name.ends_with("q_proj.weight") || self.name.ends_with("k_proj.weight") {
            let stack = if self.name.starts_with("depth_decoder.") { &dims.depth } else { &dims.backbone };
            self.rows = Rows::Interleaved { head_dim: stack.head_dim };
        }
        self.name = original_name(&self.name);
        self
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = noise::bytes(&self.seed_name, self.fill, self.elements(), self.dtype);
        Cow::Owned(match self.rows {
            Rows::AsMade => bytes,
            Rows::Interleaved { head_dim } => interleave(&bytes, self.shape[0], head_dim),
        })
    }

    fn data_len(&self) -> usize {
        self.elements() * if self.dtype == Dtype::BF16 { 2 } else { 4 }
    }
}

/// Reorders the rows of each head from halves `[0, d/2, ..]` to pairs: row `j * d/2 + i` becomes
/// row `2 i + j`.
fn interleave(bytes: &[u8], rows: usize, head_dim: usize) -> Vec<u8> {
    let width = bytes.len() / rows;
    let half = head_dim / 2;
    (0..rows)
        .flat_map(|row| {
            let (head, within) = (row / head_dim, row % head_dim);
            let from = head * head_dim + within % 2 * half + within / 2;
            &bytes[from * width..(from + 1) * width]
        })
        .copied()
        .collect()
}

/// Returns the tensors of backbone and depth decoder. The audio embedding, which both use, is
/// written once, under the depth decoder's name, as `transformers` saves it.
pub(super) fn csm(dims: &Dims) -> Vec<Tensor> {
    let (hidden, depth) = (dims.backbone.hidden, dims.depth.hidden);
    let mut out = Vec::new();
    let mut add = |name: &str, shape: &[usize], fill| out.push(Tensor::new(name.to_owned(), shape, dims.dtype, fill));
    add("embed_text_tokens.weight", &[dims.text_vocab, hidden], centred(1.0));
    let audio_rows = AUDIO_VOCAB * CODEBOOKS;
    add("depth_decoder.model.embed_tokens.weight", &[audio_rows, hidden], centred(AUDIO_EMBEDDING_STD));
    add("depth_decoder.model.inputs_embeds_projector.weight", &[depth, hidden], fan_in(hidden));
    add("lm_head.weight", &[AUDIO_VOCAB, hidden], fan_in(hidden));
    add("depth_decoder.codebooks_head.weight", &[CODEBOOKS - 1, depth, AUDIO_VOCAB], fan_in(depth));
    stack(&mut out, "backbone_model", &dims.backbone, dims.dtype);
    stack(&mut out, "depth_decoder.model", &dims.depth, dims.dtype);
    out
}

fn stack(out: &mut Vec<Tensor>, prefix: &str, stack: &StackDims, dtype: Dtype) {
    let (hidden, ff) = (stack.hidden, stack.ff);
    let (queries, keys) = (stack.heads * stack.head_dim, stack.kv_heads * stack.head_dim);
    let mut add = |name: String, shape: &[usize], fill| out.push(Tensor::new(name, shape, dtype, fill));
    for layer in 0..stack.layers {
        let name = |part: &str| format!("{prefix}.layers.{layer}.{part}.weight");
        add(name("self_attn.q_proj"), &[queries, hidden], fan_in(hidden));
        add(name("self_attn.k_proj"), &[keys, hidden], fan_in(hidden));
        add(name("self_attn.v_proj"), &[keys, hidden], fan_in(hidden));
        add(name("self_attn.o_proj"), &[hidden, queries], fan_in(queries));
        add(name("mlp.gate_proj"), &[ff, hidden], fan_in(hidden));
        add(name("mlp.up_proj"), &[ff, hidden], fan_in(hidden));
        add(name("mlp.down_proj"), &[hidden, ff], fan_in(ff));
        add(name("input_layernorm"), &[hidden], NORM);
        add(name("post_attention_layernorm"), &[hidden], NORM);
    }
    add(format!("{prefix}.norm.weight"), &[hidden], NORM);
}

/// Returns the tensors of the codec under the names of `kyutai/mimi`.
pub(super) fn codec(mimi: &Mimi) -> Vec<Tensor> {
    let mut out = Vec::new();
    encoder(&mut out, mimi);
    decoder(&mut out, mimi);
    for prefix in ["encoder_transformer", "decoder_transformer"] {
        for layer in 0..mimi.layers {
            transformer_layer(&mut out, &format!("{prefix}.layers.{layer}"), mimi);
        }
    }
    let hidden = mimi.hidden;
    push(&mut out, "downsample.conv.weight", &[hidden, hidden, 4], fan_in(hidden * 4));
    push(&mut out, "upsample.conv.weight", &[hidden, 1, 4], centred(1.0));
    quantizer(&mut out, "semantic_residual_vector_quantizer", mimi, 1);
    quantizer(&mut out, "acoustic_residual_vector_quantizer", mimi, CODEBOOKS - 1);
    out
}

/// Adds the SEANet encoder: a convolution, then for each stride a residual block and a strided
/// convolution that doubles the width.
fn encoder(out: &mut Vec<Tensor>, mimi: &Mimi) {
    let mut width = mimi.filters;
    push(out, "encoder.layers.0.conv.weight", &[width, 1, 7], centred(ENCODER_GAIN / 7f32.sqrt()));
    push(out, "encoder.layers.0.conv.bias", &[width], centred(0.1));
    for (step, ratio) in RATIOS.iter().rev().enumerate() {
        residual_block(out, &format!("encoder.layers.{}", 3 * step + 1), width);
        conv(out, &format!("encoder.layers.{}", 3 * step + 3), [2 * width, width, 2 * ratio]);
        width *= 2;
    }
    conv(out, "encoder.layers.14", [mimi.hidden, width, 3]);
}

/// Adds the SEANet decoder: the encoder's mirror with transposed convolutions, whose kernels are
/// twice their stride.
fn decoder(out: &mut Vec<Tensor>, mimi: &Mimi) {
    let mut width = mimi.filters << RATIOS.len();
    conv(out, "decoder.layers.0", [width, mimi.hidden, 7]);
    for (step, ratio) in RATIOS.iter().enumerate() {
        let name = format!("decoder.layers.{}", 3 * step + 2);
        // Two taps of each input channel reach each output sample of a transposed convolution.
        push(out, &format!("{name}.conv.weight"), &[width, width / 2, 2 * ratio], fan_in(2 * width));
        push(out, &format!("{name}.conv.bias"), &[width / 2], centred(0.1));
        width /= 2;
        residual_block(out, &format!("decoder.layers.{}", 3 * step + 3), width);
    }
    let last = Fill::NoOffset { std: mimi.loudness / (3.0 * width as f32).sqrt(), taps: 3 };
    push(out, "decoder.layers.14.conv.weight", &[1, width, 3], last);
    push(out, "decoder.layers.14.conv.bias", &[1], Fill::Constant(0.0));
}

fn residual_block(out: &mut Vec<Tensor>, name: &str, width: usize) {
    conv(out, &format!("{name}.block.1"), [width / 2, width, 3]);
    conv(out, &format!("{name}.block.3"), [width, width / 2, 1]);
}

/// Adds a convolution of shape (out, in, kernel) with bias.
fn conv(out: &mut Vec<Tensor>, name: &str, shape: [usize; 3]) {
    push(out, &format!("{name}.conv.weight"), &shape, fan_in(shape[1] * shape[2]));
    push(out, &format!("{name}.conv.bias"), &[shape[0]], centred(0.1));
}

fn transformer_layer(out: &mut Vec<Tensor>, name: &str, mimi: &Mimi) {
    let (hidden, ff) = (mimi.hidden, mimi.ff);
    for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        push(out, &format!("{name}.self_attn.{projection}.weight"), &[hidden, hidden], fan_in(hidden));
    }
    push(out, &format!("{name}.mlp.fc1.weight"), &[ff, hidden], fan_in(hidden));
    push(out, &format!("{name}.mlp.fc2.weight"), &[hidden, ff], fan_in(ff));
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        push(out, &format!("{name}.{norm}.weight"), &[hidden], NORM);
        push(out, &format!("{name}.{norm}.bias"), &[hidden], centred(0.1));
    }
    for scale in ["self_attn_layer_scale", "mlp_layer_scale"] {
        push(out, &format!("{name}.{scale}.scale"), &[hidden], Fill::Constant(LAYER_SCALE));
    }
}

fn quantizer(out: &mut Vec<Tensor>, name: &str, mimi: &Mimi, layers: usize) {
    let prefix = format!("quantizer.{name}");
    let (hidden, dim) = (mimi.hidden, mimi.codebook_dim);
    push(out, &format!("{prefix}.input_proj.weight"), &[dim, hidden, 1], fan_in(hidden));
    // The decoder sums 32 codebooks, so each gives its share of a latent of deviation one.
    let share = Fill::Noise { mean: 0.0, std: ((dim * CODEBOOKS) as f32).sqrt().recip() };
    push(out, &format!("{prefix}.output_proj.weight"), &[hidden, dim, 1], share);
    for layer in 0..layers {
        let name = |part: &str| format!("{prefix}.layers.{layer}.codebook.{part}");
        push(out, &name("initialized"), &[1], Fill::Constant(1.0));
        push(out, &name("cluster_usage"), &[CODES], Fill::Noise { mean: 1.0, std: 0.2 });
        push(out, &name("embed_sum"), &[CODES, dim], centred(1.0));
    }
}

/// Norm weights near one but not one, so that a forgotten norm weight shows.
const NORM: Fill = Fill::Noise { mean: 1.0, std: 0.1 };

fn centred(std: f32) -> Fill {
    Fill::Noise { mean: 0.0, std }
}

/// Returns noise that keeps the deviation when `inputs` inputs are summed.
fn fan_in(inputs: usize) -> Fill {
    centred((inputs as f32).sqrt().recip())
}

fn push(out: &mut Vec<Tensor>, name: &str, shape: &[usize], fill: Fill) {
    out.push(Tensor::new(name.to_owned(), shape, Dtype::F32, fill));
}

/// Returns a CSM tensor's name in the original files: the map of the published conversion, read
/// backwards.
fn original_name(name: &str) -> String {
    match name {
        "embed_text_tokens.weight" => "text_embeddings.weight".to_owned(),
        "depth_decoder.model.embed_tokens.weight" => "audio_embeddings.weight".to_owned(),
        "depth_decoder.model.inputs_embeds_projector.weight" => "projection.weight".to_owned(),
        "lm_head.weight" => "codebook0_head.weight".to_owned(),
        "depth_decoder.codebooks_head.weight" => "audio_head".to_owned(),
        layer => [
            ("backbone_model.", "backbone."),
            ("depth_decoder.model.", "decoder."),
            ("self_attn.o_proj", "attn.output_proj"),
            ("self_attn.", "attn."),
            ("mlp.gate_proj", "mlp.w1"),
            ("mlp.down_proj", "mlp.w2"),
            ("mlp.up_proj", "mlp.w3"),
            ("input_layernorm.weight", "sa_norm.scale"),
            ("post_attention_layernorm.weight", "mlp_norm.scale"),
            (".norm.weight", ".norm.scale"),
        ]
        .iter()
        .fold(layer.to_owned(), |name, (from, to)| name.replace(from, to)),
    }
}
