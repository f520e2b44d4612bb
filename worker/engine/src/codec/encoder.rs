//! Encoder from recordings to latents, on candle. The input is always a whole recording, because
//! contexts consist of those.

pub(super) mod encoder_transformer;

use candle_core::{Device, Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::mimi::conv::ConvDownsample1d;
use candle_transformers::models::mimi::seanet::SeaNetEncoder;

use super::MimiConfig;
use encoder_transformer::EncoderTransformer;

/// Encoder: SEANet, transformer and downsampling, on one device.
pub(super) struct Encoder {
    seanet: SeaNetEncoder,
    transformer: EncoderTransformer,
    downsample: ConvDownsample1d,
    device: Device,
}

impl Encoder {
    /// Reads `encoder`, `encoder_transformer` and `downsample`; calls `done` with the prefix of
    /// each part read.
    pub(super) fn load(config: &MimiConfig, vb: &VarBuilder<'_>, done: &mut dyn FnMut(&str)) -> Result<Self> {
        let seanet = SeaNetEncoder::new(&config.seanet(), vb.pp("encoder"))?;
        done("encoder.");
        let transformer = EncoderTransformer::load(config, &vb.pp("encoder_transformer"))?;
        done("encoder_transformer.");
        let downsample = ConvDownsample1d::new(config.latent_stride, config.hidden, true, true, vb.pp("downsample"))?;
        done("downsample.");
        Ok(Self { seanet, transformer, downsample, device: vb.device().clone() })
    }

    /// Returns the latents `(1, hidden, frames)` of whole frames of audio.
    pub(super) fn latents(&self, pcm: Vec<f32>) -> Result<Tensor> {
        let samples = pcm.len();
        let x = self.seanet.forward(&Tensor::from_vec(pcm, (1, 1, samples), &self.device)?)?;
        self.downsample.forward(&self.transformer.forward(&x)?)
    }
}
