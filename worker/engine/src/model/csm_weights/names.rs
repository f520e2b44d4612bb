//! The tensor names and shapes of both published layouts.

use csm_shared::audio::CODEBOOKS;

use super::super::CsmConfig;
use super::ModelPart;

/// A name that only the original layout has.
pub const ORIGINAL_PROBE: &str = "backbone.layers.0.attn.q_proj.weight";
/// A name that only the transformers layout has.
pub const TRANSFORMERS_PROBE: &str = "backbone_model.layers.0.self_attn.q_proj.weight";

/// Who wrote the file, which decides names and the rotary form of query and key rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The original release: torchtune names, rotary pairs interleaved.
    Original,
    /// transformers: rotary halves.
    Transformers,
}

impl Layout {
    /// Tells the layout by its names.
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

/// One tensor as a file should hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Another name that may stand in for it (tied tensors are often stored once).
    pub alias: Option<String>,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// The tensors of one layer. Projections are `(out, in)`, norms `(hidden)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpecs {
    /// Before attention.
    pub attention_norm: TensorSpec,
    /// `(heads * head_dim, hidden)`.
    pub query: TensorSpec,
    /// `(kv_heads * head_dim, hidden)`.
    pub key: TensorSpec,
    /// `(kv_heads * head_dim, hidden)`.
    pub value: TensorSpec,
    /// `(hidden, heads * head_dim)`.
    pub attention_out: TensorSpec,
    /// Before the feed-forward block.
    pub mlp_norm: TensorSpec,
    /// `(intermediate, hidden)`, through SiLU.
    pub gate: TensorSpec,
    /// `(intermediate, hidden)`.
    pub up: TensorSpec,
    /// `(hidden, intermediate)`.
    pub down: TensorSpec,
}

/// Names of one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The layout.
    pub layout: Layout,
}

fn spec(name: impl Into<String>, shape: &[usize]) -> TensorSpec {
    TensorSpec { name: name.into(), alias: None, shape: shape.to_vec() }
}

impl Names {
    /// Every tensor of the model (not of the codec).
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

    /// `(text_vocab, hidden)`.
    #[must_use]
    pub fn text_embedding(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("text_embeddings.weight", "embed_text_tokens.weight");
        spec(name, &[config.text_vocab, config.backbone.hidden])
    }

    /// `(32 * audio_vocab, hidden)`. In the transformers layout each part has its own name, and a tied table may be
    /// stored under either.
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

    /// `(depth hidden, hidden)`.
    #[must_use]
    pub fn projection(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("projection.weight", "depth_decoder.model.inputs_embeds_projector.weight");
        spec(name, &[config.depth.hidden, config.backbone.hidden])
    }

    /// `(audio_vocab, hidden)`: codebook 0.
    #[must_use]
    pub fn first_code_head(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("codebook0_head.weight", "lm_head.weight");
        spec(name, &[config.audio_vocab, config.backbone.hidden])
    }

    /// `(31, depth hidden, audio_vocab)`: codebooks 1 to 31, in x out.
    #[must_use]
    pub fn code_heads(self, config: &CsmConfig) -> TensorSpec {
        let name = self.pick("audio_head", "depth_decoder.codebooks_head.weight");
        spec(name, &[CODEBOOKS - 1, config.depth.hidden, config.audio_vocab])
    }

    /// `(hidden)` of the part.
    #[must_use]
    pub fn final_norm(self, part: ModelPart, config: &CsmConfig) -> TensorSpec {
        let leaf = self.pick("norm.scale", "norm.weight");
        spec(format!("{}.{leaf}", self.prefix(part)), &[part.config(config).hidden])
    }

    /// One layer of a part.
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
