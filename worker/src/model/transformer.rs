//! A stack of Llama layers with a final norm: the part that backbone and depth decoder have in common.

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::rms_norm;

use super::attention::{Attention, causal_mask};
use super::cache::KvCache;
use super::mlp::Mlp;
use super::rope::Rope;
use super::weights::{LayerWeights, Part, Weights, WeightsError};
use super::{CsmConfig, TransformerConfig};

struct Layer {
    attention_norm: Tensor,
    attention: Attention,
    mlp_norm: Tensor,
    mlp: Mlp,
}

/// The stack. Stateless; positions and earlier keys come from the cache.
pub(super) struct Transformer {
    layers: Vec<Layer>,
    norm: Tensor,
    eps: f32,
    rope: Rope,
}

impl Layer {
    fn new(config: &TransformerConfig, weights: LayerWeights) -> Self {
        Self {
            attention_norm: weights.attention_norm,
            attention: Attention::new(config, weights.qkv, weights.attention_out),
            mlp_norm: weights.mlp_norm,
            mlp: Mlp::new(weights.gate_up, weights.down),
        }
    }
}

impl Transformer {
    /// `positions`: how many the rotary tables cover.
    pub(super) fn load(
        weights: &mut Weights<'_>,
        config: &CsmConfig,
        part: Part,
        positions: usize,
    ) -> std::result::Result<Self, WeightsError> {
        let part_config = part.config(config);
        let layers = (0..part_config.layers)
            .map(|index| Ok(Layer::new(part_config, weights.layer(part, index)?)))
            .collect::<std::result::Result<_, WeightsError>>()?;
        let norm = weights.final_norm(part)?;
        let rope = Rope::new(part_config, positions, norm.dtype(), norm.device())?;
        #[expect(clippy::cast_possible_truncation, reason = "a norm's epsilon is far inside f32")]
        let eps = part_config.norm_eps as f32;
        Ok(Self { layers, norm, eps, rope })
    }

    /// `x (rows, t, hidden)` behind the positions of `cache`; answers the normed last position, `(rows, 1, hidden)`.
    pub(super) fn forward(&self, x: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let (_, t, _) = x.dims3()?;
        let len = cache.len();
        let rotation = self.rope.at(len, t)?;
        let mask = if t == 1 { None } else { Some(causal_mask(len, t, x.device())?) };
        let mut x = x.contiguous()?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = rms_norm(&x, &layer.attention_norm, self.eps)?;
            x = (x + layer.attention.forward(&normed, &rotation, mask.as_ref(), cache.layer(index), len)?)?;
            let normed = rms_norm(&x, &layer.mlp_norm, self.eps)?;
            x = (x + layer.mlp.forward(&normed)?)?;
        }
        cache.advance(t);
        rms_norm(&x.narrow(1, t - 1, 1)?.contiguous()?, &self.norm, self.eps)
    }

    pub(super) fn device(&self) -> &Device {
        self.norm.device()
    }
}
