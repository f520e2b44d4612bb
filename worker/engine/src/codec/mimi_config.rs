//! Dimensions of Mimi, read from transformers' `MimiConfig` (inside the model's `config.json`, or
//! the codec's own).

use candle_transformers::models::mimi::{conv, seanet};
use csm_shared::audio::{CODEBOOKS, FRAME_SAMPLES, SAMPLE_RATE};
use serde_json::json;

use crate::weights::{ConfigError, ConfigObject};

/// Base of Mimi's rotary positions if the config names none (`MimiConfig`'s default).
const DEFAULT_THETA: f64 = 10_000.0;

/// Dimensions of a codec. Only supported dimensions can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct MimiConfig {
    /// Width of a latent.
    pub hidden: usize,
    /// Channels of the outermost convolution.
    pub filters: usize,
    /// Residual blocks per scale.
    pub residual_layers: usize,
    /// Strides of the decoder, coarsest first.
    pub ratios: Vec<usize>,
    /// Kernel of the first convolution.
    pub kernel_size: usize,
    /// Kernel of the last convolution.
    pub last_kernel_size: usize,
    /// Kernel inside a residual block.
    pub residual_kernel_size: usize,
    /// Growth of dilation from one residual block to the next.
    pub dilation_growth: usize,
    /// Factor by which a residual block is narrower inside.
    pub compress: usize,
    /// Latents of the convolutions per frame of codes.
    pub latent_stride: usize,
    /// Codes of a codebook.
    pub codebook_size: usize,
    /// Width of a code's vector.
    pub codebook_dim: usize,
    /// Transformer layers, in the encoder and in the decoder.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Number of latents that a latent attends to, itself included.
    pub sliding_window: usize,
    /// Epsilon of the layer norms.
    pub norm_eps: f64,
    /// Base of the rotary positions.
    pub rope_theta: f64,
}

impl MimiConfig {
    /// Reads a `MimiConfig` object.
    pub(crate) fn read(keys: &ConfigObject<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            hidden: keys.size("hidden_size")?,
            filters: keys.size("num_filters")?,
            residual_layers: keys.size("num_residual_layers")?,
            ratios: keys.sizes("upsampling_ratios")?,
            kernel_size: keys.size("kernel_size")?,
            last_kernel_size: keys.size("last_kernel_size")?,
            residual_kernel_size: keys.size("residual_kernel_size")?,
            dilation_growth: keys.size("dilation_growth_rate")?,
            compress: keys.size("compress")?,
            latent_stride: 2,
            codebook_size: keys.size("codebook_size")?,
            codebook_dim: keys.size("codebook_dim")?,
            layers: keys.size("num_hidden_layers")?,
            heads: keys.size("num_attention_heads")?,
            intermediate: keys.size("intermediate_size")?,
            sliding_window: keys.size("sliding_window")?,
            norm_eps: keys.positive("norm_eps")?,
            rope_theta: theta(keys)?,
        };
        config.check(keys)?;
        Ok(config)
    }

    /// Refuses unsupported settings, which would give wrong audio.
    fn check(&self, keys: &ConfigObject<'_>) -> Result<(), ConfigError> {
        keys.only("sampling_rate", &json!(SAMPLE_RATE))?;
        keys.only("audio_channels", &json!(1))?;
        keys.only("use_causal_conv", &json!(true))?;
        keys.only("use_conv_shortcut", &json!(false))?;
        keys.only("pad_mode", &json!("constant"))?;
        keys.only("trim_right_ratio", &json!(1.0))?;
        keys.only("hidden_act", &json!("gelu"))?;
        keys.only("attention_bias", &json!(false))?;
        keys.only("num_semantic_quantizers", &json!(1))?;
        keys.only("upsample_groups", &json!(self.hidden))?;
        keys.only("num_key_value_heads", &json!(self.heads))?;
        keys.only("vector_quantization_hidden_dimension", &json!(self.codebook_dim))?;
        keys.only("head_dim", &json!(self.hidden / self.heads))?;
        if keys.size("num_quantizers")? < CODEBOOKS {
            return Err(keys.error("num_quantizers", &format!("is below {CODEBOOKS}")));
        }
        if self.ratios.iter().product::<usize>() * self.latent_stride != FRAME_SAMPLES {
            return Err(keys.error("upsampling_ratios", &format!("do not multiply to {}", FRAME_SAMPLES / 2)));
        }
        if !self.hidden.is_multiple_of(2 * self.heads) {
            return Err(keys.error("num_attention_heads", "does not cut hidden_size into heads of even width"));
        }
        Ok(())
    }

    /// Returns candle's settings of the convolution stacks.
    pub(super) fn seanet(&self) -> seanet::Config {
        seanet::Config {
            dimension: self.hidden,
            channels: 1,
            causal: true,
            n_filters: self.filters,
            n_residual_layers: self.residual_layers,
            ratios: self.ratios.clone(),
            activation: candle_nn::Activation::Elu(1.0),
            norm: conv::Norm::WeightNorm,
            kernel_size: self.kernel_size,
            residual_kernel_size: self.residual_kernel_size,
            last_kernel_size: self.last_kernel_size,
            dilation_base: self.dilation_growth,
            pad_mode: conv::PadMode::Constant,
            true_skip: true,
            compress: self.compress,
            lstm: 0,
            disable_norm_outer_blocks: 0,
            final_activation: None,
        }
    }
}

fn theta(keys: &ConfigObject<'_>) -> Result<f64, ConfigError> {
    let parameters = keys.inner("rope_parameters")?;
    let holder = parameters.as_ref().unwrap_or(keys);
    holder.only("rope_type", &json!("default"))?;
    keys.only("rope_scaling", &json!(null))?;
    if holder.has("rope_theta") { holder.positive("rope_theta") } else { Ok(DEFAULT_THETA) }
}
