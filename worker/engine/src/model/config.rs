//! Dimensions of a model, from its `config.json`.
//!
//! Three forms are read: transformers' `CsmConfig` as 4.x writes it (`rope_theta` and
//! `rope_scaling`), as 5.x writes it (`rope_parameters`), and the original release's two flavour
//! names. If a file has both transformers' keys and flavour names, as the published one does,
//! transformers' keys decide.

#[cfg(test)]
mod tests;

use std::path::Path;

use csm_shared::audio::CODEBOOKS;
use csm_shared::prompt::CONFIG_FILE;
use serde_json::{Value, json};

pub use crate::weights::ConfigError;
use crate::weights::{ConfigObject, read_json};

/// Rotary base of a transformers config that names none (`CsmConfig.default_theta`).
const DEFAULT_THETA: f64 = 500_000.0;
/// Codes of a Mimi codebook if no config names their number.
const MIMI_CODEBOOK_SIZE: usize = 2048;

/// Dimensions of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct CsmConfig {
    /// The transformer over positions.
    pub backbone: TransformerConfig,
    /// The transformer over the codebooks of one frame.
    pub depth: TransformerConfig,
    /// Rows of the text embedding: text ids are below this.
    pub text_vocab: usize,
    /// Embedding rows and logits per codebook: codes and a few ids that are no codes.
    pub audio_vocab: usize,
    /// Codes of a Mimi codebook: only ids below this are ever drawn. At most `audio_vocab`.
    pub codebook_size: usize,
    /// Positions of the window that prompt and generated frames share.
    pub max_positions: usize,
}

/// Dimensions of one transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Number of layers.
    pub layers: usize,
    /// Width of a position.
    pub hidden: usize,
    /// Width within the feed-forward block.
    pub intermediate: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Epsilon of the RMS norms.
    pub norm_eps: f64,
    /// Settings of the rotary positions.
    pub rope: RopeConfig,
}

/// Settings of the rotary positions.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Llama 3's scaling, if any.
    pub scaling: Option<RopeScaling>,
}

/// Llama 3's frequency scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeScaling {
    /// Factor by which long waves turn slower.
    pub factor: f64,
    /// Limit of long waves: those longer than `original_max_positions / low_freq_factor`.
    pub low_freq_factor: f64,
    /// Limit of short waves, which do not change: those shorter than `original_max_positions /
    /// high_freq_factor`.
    pub high_freq_factor: f64,
    /// Window of the first training, in positions.
    pub original_max_positions: f64,
}

impl CsmConfig {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// The file cannot be read, or a key is missing, unusable or contradicts another; the error
    /// names the key.
    pub fn from_folder(folder: &Path) -> Result<Self, ConfigError> {
        let config = read_json(&folder.join(CONFIG_FILE))?;
        let codec = folder.join(crate::weights::CODEC_FOLDER).join(CONFIG_FILE);
        let codec = if codec.is_file() { Some(read_json(&codec)?) } else { None };
        Self::from_json(&config, codec.as_ref())
    }

    /// Reads a `config.json`. `codec` is the codec's own config, if one is stored beside the model.
    ///
    /// # Errors
    /// As [`CsmConfig::from_folder`].
    pub fn from_json(config: &Value, codec: Option<&Value>) -> Result<Self, ConfigError> {
        let root = ConfigObject::root(config)?;
        let mut read = if root.has("hidden_size") { transformers(&root)? } else { original(&root)? };
        if let Some(size) = codebook_size(&root, codec)? {
            read.codebook_size = size;
        }
        if read.codebook_size > read.audio_vocab {
            return Err(root.error("codec_config.codebook_size", "is above the vocabulary of a codebook"));
        }
        Ok(read)
    }
}

/// Reads the codec's codebook size, from the model's config or from the codec's own.
fn codebook_size(root: &ConfigObject<'_>, codec: Option<&Value>) -> Result<Option<usize>, ConfigError> {
    if let Some(inner) = root.inner("codec_config")? {
        return inner.size("codebook_size").map(Some);
    }
    codec.map(|value| ConfigObject::root(value)?.size("codebook_size")).transpose()
}

fn transformers(root: &ConfigObject<'_>) -> Result<CsmConfig, ConfigError> {
    let depth_keys =
        root.inner("depth_decoder_config")?.ok_or_else(|| root.error("depth_decoder_config", "is missing"))?;
    let (backbone, depth) = (transformer(root)?, transformer(&depth_keys)?);
    let audio_vocab = root.size("vocab_size")?;
    root.only("num_codebooks", &json!(CODEBOOKS))?;
    depth_keys.only("num_codebooks", &json!(CODEBOOKS))?;
    depth_keys.only("vocab_size", &json!(audio_vocab))?;
    depth_keys.only("backbone_hidden_size", &json!(backbone.hidden))?;
    Ok(CsmConfig {
        backbone,
        depth,
        text_vocab: root.size("text_vocab_size")?,
        audio_vocab,
        codebook_size: MIMI_CODEBOOK_SIZE,
        max_positions: root.size("max_position_embeddings")?,
    })
}

fn transformer(keys: &ConfigObject<'_>) -> Result<TransformerConfig, ConfigError> {
    keys.only("hidden_act", &json!("silu"))?;
    keys.only("attention_bias", &json!(false))?;
    keys.only("mlp_bias", &json!(false))?;
    let (hidden, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let kv_heads = if keys.has("num_key_value_heads") { keys.size("num_key_value_heads")? } else { heads };
    let head_dim = if keys.has("head_dim") { keys.size("head_dim")? } else { hidden / heads };
    if heads % kv_heads != 0 {
        return Err(keys.error("num_key_value_heads", &format!("{kv_heads} does not divide {heads} attention heads")));
    }
    if head_dim == 0 || head_dim % 2 != 0 {
        return Err(keys.error("head_dim", &format!("{head_dim} is not even")));
    }
    Ok(TransformerConfig {
        layers: keys.size("num_hidden_layers")?,
        hidden,
        intermediate: keys.size("intermediate_size")?,
        heads,
        kv_heads,
        head_dim,
        norm_eps: keys.positive("rms_norm_eps")?,
        rope: rope(keys)?,
    })
}

/// Reads the rotary settings: one object in 5.x; in 4.x the base beside a nullable object.
fn rope(keys: &ConfigObject<'_>) -> Result<RopeConfig, ConfigError> {
    let parameters = keys.inner("rope_parameters")?;
    let (base, scaling) = match &parameters {
        Some(parameters) => (parameters, Some(parameters)),
        None => (keys, None),
    };
    let theta = if base.has("rope_theta") { base.positive("rope_theta")? } else { DEFAULT_THETA };
    let older = keys.inner("rope_scaling")?;
    let Some(scaling) = scaling.or(older.as_ref()) else { return Ok(RopeConfig { theta, scaling: None }) };
    let scaling = match scaling.text(if scaling.has("rope_type") { "rope_type" } else { "type" })? {
        "default" => None,
        "llama3" => Some(llama3(scaling)?),
        other => return Err(scaling.error("rope_type", &format!("{other} is not one of default, llama3"))),
    };
    Ok(RopeConfig { theta, scaling })
}

fn llama3(keys: &ConfigObject<'_>) -> Result<RopeScaling, ConfigError> {
    let scaling = RopeScaling {
        factor: keys.positive("factor")?,
        low_freq_factor: keys.positive("low_freq_factor")?,
        high_freq_factor: keys.positive("high_freq_factor")?,
        original_max_positions: keys.positive("original_max_position_embeddings")?,
    };
    if scaling.high_freq_factor <= scaling.low_freq_factor {
        return Err(keys.error("high_freq_factor", "is not above low_freq_factor"));
    }
    Ok(scaling)
}

/// Reads the form of the original release: dimensions by flavour name (SesameAILabs/csm
/// `models.py`).
fn original(root: &ConfigObject<'_>) -> Result<CsmConfig, ConfigError> {
    root.only("audio_num_codebooks", &json!(CODEBOOKS))?;
    Ok(CsmConfig {
        backbone: flavour(root, "backbone_flavor")?,
        depth: flavour(root, "decoder_flavor")?,
        text_vocab: root.size("text_vocab_size")?,
        audio_vocab: root.size("audio_vocab_size")?,
        codebook_size: MIMI_CODEBOOK_SIZE,
        max_positions: 2048,
    })
}

fn flavour(root: &ConfigObject<'_>, key: &str) -> Result<TransformerConfig, ConfigError> {
    let (layers, hidden, heads, kv_heads) = match root.text(key)? {
        "llama-1B" => (16, 2048, 32, 8),
        "llama-100M" => (4, 1024, 8, 2),
        other => return Err(root.error(key, &format!("{other} is not one of llama-1B, llama-100M"))),
    };
    let scaling =
        RopeScaling { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_positions: 8192.0 };
    Ok(TransformerConfig {
        layers,
        hidden,
        intermediate: 8192,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        norm_eps: 1e-5,
        rope: RopeConfig { theta: DEFAULT_THETA, scaling: Some(scaling) },
    })
}
