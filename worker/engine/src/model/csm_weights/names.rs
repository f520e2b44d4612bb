//! The tensor names and shapes of both published layouts.

use csm_shared::audio::CODEBOOKS;

use super::super::CsmConfig;
use super::ModelPart;

/// A name that only the original layout has.
pub const ORIGINAL_PROBE: &str = "backbone.layers.0.attn.q_proj.weight";
/// A name that only the transformers layout has.
pub const TRANSFORMERS_PROBE: &str = "backbone_model.layers.0.self_attn.q_proj.weight";

/// Layout of a weight file. The layout decides the names and the rotary form of query and key rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The original release: torchtune names, rotary pairs interleaved.
    Original,
    /// The layout of transformers: rotary halves.
    Transformers,
}

impl Layout {
    /// Detects the layout from the names that the files hold.
    pub fn detect(holds: impl Fn(&str) -> bool) -> Option<Self> {
        if holds(TRANSFORMERS_PROBE) {
            Some(Self::Transformers)
        } else if holds(ORIGINAL_PROBE) {
            Some(Self::Original)
        } else {
            None
        }
    }
}

/// Expected name and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name of the tensor.
    pub name: String,
    /// Second name under which the tensor may be stored (tied tensors are often stored once).
    pub alias: Option<String>,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
}

/// The tensors of one layer. Projections are `(out, in)`, norms `(hidden)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpecs {
    /// Norm before attention.
    pub attention_norm: TensorSpec,
    /// Query projection, `(heads * head_dim, hidden)`.
    pub query: TensorSpec,
    /// Key projection, `(kv_heads * head_dim, hidden)`.
    pub key: TensorSpec,
    /// Value projection, `(kv_heads * head_dim, hidden)`.
    pub value: TensorSpec,
    /// Output projection of attention, `(hidden, heads * head_dim)`.
    pub attention_out: TensorSpec,
    /// Norm before the feed-forward block.
    pub mlp_norm: TensorSpec,
    /// Gate projection, `(intermediate, hidden)`, through SiLU.
    pub gate: TensorSpec,
    /// Up projection, `(intermediate, hidden)`.
    pub up: TensorSpec,
    /// Down projection, `(hidden, intermediate)`.
    pub down: TensorSpec,
}

/// Tensor names of one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The layout.
    pub layout: Layout,
}

fn spec(name: impl Into<String>, shape: &[usize]) -> TensorSpec {
    TensorSpec { name: name.into(), alias: None, shape: shape.to_vec() }
}

impl Names {
    /// Returns every tensor of the model (not of the codec).
    #[must_use]
    pub fn all(self, config: &CsmConfig) -> Vec<TensorSpec> {
        let mut all = vec![
            self.text_embedding(config),
            self.audio_embedding(ModelPart::Backbone, config),
            self.audio_embedding(ModelPart::Depth, config),
            self.projection(config),
            self.first_code_head(config),
            self.code_heads(config),
        ];
        for part in [ModelPart::Backbone, ModelPart::Depth] {
            all.push(self.final_norm(part, config));
            for index in 0..part.config(config).layers {
                let layer = self.layer(part, config, index);
                all.extend([layer.attention_norm, layer.query, layer.key, layer.value, layer.attention_out]);
                all.extend([layer.mlp_norm, layer.gate, layer.up, layer.down]);
            }
        }
        all
    }

    fn pick(self, original: &'static str, transformers: &'static str) -> &'static str {
        match self.layout {
            Layout::Original => original,
            Layout::Transformers => transformers,
        }
    }

    /// Returns the text embedding, `(text_vocab, hidden)`.
    #[must_use]
    pub fn text_embedding(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("text_embeddings.weight", "embed_text_tokens.weight");
        spec(name, &[config.text_vocab, config.backbone.hidden])
    }

    /// Returns the audio table of a part, `(32 * audio_vocab, hidden)`. In the transformers layout
    /// each part has its own name, and a tied table may be stored under either.
    #[must_use]
    pub fn audio_embedding(self, part: ModelPart, config: &CsmConfig) -> TensorSpec {
        let names =
            ["backbone_model.embed_tokens.embed_audio_tokens.weight", "depth_decoder.model.embed_tokens.weight"];
        let (name, alias) = match (self.layout, part) {
            (Layout::Original, _) => ("audio_embeddings.weight", None),
            (Layout::Transformers, ModelPart::Backbone) => (names[0], Some(names[1])),
            (Layout::Transformers, ModelPart::Depth) => (names[1], Some(names[0])),
        };
        let shape = [CODEBOOKS * config.audio_vocab, config.backbone.hidden];
        TensorSpec { alias: alias.map(Into::into), ..spec(name, &shape) }
    }

    /// Returns the projection to the depth decoder, `(depth hidden, hidden)`.
    #[must_use]
    pub fn projection(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("projection.weight", "depth_decoder.model.inputs_embeds_projector.weight");
        spec(name, &[config.depth.hidden, config.backbone.hidden])
    }

    /// Returns the head of codebook 0, `(audio_vocab, hidden)`.
    #[must_use]
    pub fn first_code_head(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("codebook0_head.weight", "lm_head.weight");
        spec(name, &[config.audio_vocab, config.backbone.hidden])
    }

    /// Returns the heads of codebooks 1 to 31, `(31, depth hidden, audio_vocab)`, stored as in x
    /// out.
    #[must_use]
    pub fn code_heads(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("audio_head", "depth_decoder.codebooks_head.weight");
        spec(name, &[CODEBOOKS - 1, config.depth.hidden, config.audio_vocab])
    }

    /// Returns the final norm of a part, `(hidden)`.
    #[must_use]
    pub fn final_norm(self, part: ModelPart, config: &CsmConfig) -> TensorSpec {
        let leaf = self.pick("norm.scale", "norm.weight");
        spec(format!("{}.{leaf}", self.prefix(part)), &[part.config(config).hidden])
    }

    /// Returns the tensors of one layer of a part.
    #[must_use]
    pub fn layer(self, part: ModelPart, config: &CsmConfig, index: usize) -> LayerSpecs {
        let dims = part.config(config);
        let (query, kv) = (dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim);
        let prefix = self.prefix(part);
        let tensor = |original, transformers, shape: &[usize]| {
            spec(format!("{prefix}.layers.{index}.{}", self.pick(original, transformers)), shape)
        };
        LayerSpecs {
            attention_norm: tensor("sa_norm.scale", "input_layernorm.weight", &[dims.hidden]),
            query: tensor("attn.q_proj.weight", "self_attn.q_proj.weight", &[query, dims.hidden]),
            key: tensor("attn.k_proj.weight", "self_attn.k_proj.weight", &[kv, dims.hidden]),
            value: tensor("attn.v_proj.weight", "self_attn.v_proj.weight", &[kv, dims.hidden]),
            attention_out: tensor("attn.output_proj.weight", "self_attn.o_proj.weight", &[dims.hidden, query]),
            mlp_norm: tensor("mlp_norm.scale", "post_attention_layernorm.weight", &[dims.hidden]),
            gate: tensor("mlp.w1.weight", "mlp.gate_proj.weight", &[dims.intermediate, dims.hidden]),
            up: tensor("mlp.w3.weight", "mlp.up_proj.weight", &[dims.intermediate, dims.hidden]),
            down: tensor("mlp.w2.weight", "mlp.down_proj.weight", &[dims.hidden, dims.intermediate]),
        }
    }

    fn prefix(self, part: ModelPart) -> &'static str {
        match part {
            ModelPart::Backbone => self.pick("backbone", "backbone_model"),
            ModelPart::Depth => self.pick("decoder", "depth_decoder.model"),
        }
    }
}
