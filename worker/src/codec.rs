//! Mimi: a caller's recording to codes, and codes to sound while they come.
//!
//! Convolutions and quantizer are candle's; the transformer between them is ours, because candle's forgets one key of the
//! sliding window when it streams (see [`transformer`]). All 32 codebooks are decoded, always in f32. A [`DecodeStream`]
//! owns the state of one utterance and shares the weights: its samples are those of a one-shot decode, whatever else is
//! decoded meanwhile, and a new stream remembers nothing of an old one.

pub mod config;

mod transformer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Module, StreamTensor, StreamingModule, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::mimi::conv::{ConvDownsample1d, ConvTrUpsample1d};
use candle_transformers::models::mimi::quantization::SplitResidualVectorQuantizer;
use candle_transformers::models::mimi::seanet::{SeaNetDecoder, SeaNetEncoder};
use csm_shared::audio::{CODEBOOKS, FRAME_SAMPLES, Frame};
use csm_shared::hub::weight_files;
use csm_shared::prompt::CONFIG_FILE;

use crate::model::config::{ConfigError, Keys, read_json};
use crate::model::weights::{LoadProgress, WeightsError, map};
pub use config::MimiConfig;
use transformer::{Transformer, TransformerState};

/// The folder beside a checkpoint that holds the codec when the checkpoint itself does not.
pub const CODEC_FOLDER: &str = "mimi";
/// What the codec's tensors begin with inside a checkpoint.
pub const CODEC_PREFIX: &str = "codec_model";
/// The longest recording that is encoded, and the longest utterance decoded at once: the model's window.
pub const MAX_FRAMES: usize = 2048;

/// The codec's file in its own folder.
const CODEC_FILE: &str = "model.safetensors";

/// Why the codec cannot be loaded or refuses its input.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The codec's config is missing a key or asks for what is not supported.
    #[error("codec: {0}")]
    Config(#[from] ConfigError),
    /// The files cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// No codec anywhere.
    #[error(
        "{folder} holds no codec: neither {CODEC_PREFIX}.* tensors in the checkpoint nor {CODEC_FOLDER}/{CODEC_FILE}"
    )]
    NoCodec {
        /// The model folder.
        folder: PathBuf,
    },
    /// A code that the codebook does not have.
    #[error("frame {frame}, codebook {codebook}: code {code} is not below {limit}")]
    CodeOutOfRange {
        /// Index of the frame.
        frame: usize,
        /// Codebook.
        codebook: usize,
        /// The code.
        code: u32,
        /// Codes end here.
        limit: usize,
    },
    /// More than [`MAX_FRAMES`].
    #[error("{frames} frames are more than the {MAX_FRAMES} of the model's window")]
    TooLong {
        /// Frames of the input.
        frames: usize,
    },
    /// The device refused, or a tensor is missing or misshapen (then it is named).
    #[error("codec: {0}")]
    Device(#[from] candle_core::Error),
}

/// Codes to sound: quantizer, upsampling, transformer, SEANet. Cloning shares the weights and copies the state.
#[derive(Clone)]
struct Decoder {
    quantizer: SplitResidualVectorQuantizer,
    upsample: ConvTrUpsample1d,
    transformer: Transformer,
    seanet: SeaNetDecoder,
}

/// One codec resident on one device.
pub struct Codec {
    config: MimiConfig,
    device: Device,
    encoder: SeaNetEncoder,
    encoder_transformer: Transformer,
    downsample: ConvDownsample1d,
    /// Never stepped, so every clone starts from silence.
    decoder: Decoder,
}

/// The decoder's state of one utterance.
pub struct DecodeStream {
    decoder: Decoder,
    state: TransformerState,
    codebook_size: usize,
    device: Device,
    frames: usize,
}

impl Codec {
    /// Loads the codec of a model folder in f32: `codec_model.*` of the checkpoint, or the folder `mimi` beside it.
    ///
    /// # Errors
    /// There is none, its config is not supported, or a tensor is missing or misshapen.
    pub fn load(folder: &Path, device: &Device, progress: &mut dyn FnMut(LoadProgress)) -> Result<Self, CodecError> {
        let (files, config, prefix) = open(folder)?;
        let mut parts = Parts::new(&files, prefix, progress);
        let vb = VarBuilder::from_backend(Box::new(files), DType::F32, device.clone());
        let vb = if prefix.is_empty() { vb } else { vb.pp(prefix) };
        let seanet = config.seanet();
        let (hidden, stride) = (config.hidden, config.latent_stride);
        let encoder = SeaNetEncoder::new(&seanet, vb.pp("encoder"))?;
        parts.done("encoder.");
        let encoder_transformer = Transformer::load(&config, &vb.pp("encoder_transformer"))?;
        parts.done("encoder_transformer.");
        let downsample = ConvDownsample1d::new(stride, hidden, true, true, vb.pp("downsample"))?;
        parts.done("downsample.");
        let quantizer = SplitResidualVectorQuantizer::new(
            config.codebook_dim,
            Some(hidden),
            Some(hidden),
            CODEBOOKS,
            config.codebook_size,
            vb.pp("quantizer"),
        )?;
        parts.done("quantizer.");
        let upsample = ConvTrUpsample1d::new(stride, hidden, true, true, vb.pp("upsample"))?;
        parts.done("upsample.");
        let transformer = Transformer::load(&config, &vb.pp("decoder_transformer"))?;
        parts.done("decoder_transformer.");
        let decoder = SeaNetDecoder::new(&seanet, vb.pp("decoder"))?;
        parts.done("decoder.");
        let decoder = Decoder { quantizer, upsample, transformer, seanet: decoder };
        Ok(Self { config, device: device.clone(), encoder, encoder_transformer, downsample, decoder })
    }

    /// The codec's dimensions.
    #[must_use]
    pub fn config(&self) -> &MimiConfig {
        &self.config
    }

    /// Codes of a whole recording, 24 kHz mono, padded with silence to whole frames.
    ///
    /// # Errors
    /// More than [`MAX_FRAMES`], or a failing device.
    pub fn encode(&self, pcm: &[f32]) -> Result<Vec<Frame>, CodecError> {
        let frames = pcm.len().div_ceil(FRAME_SAMPLES);
        if frames == 0 {
            return Ok(Vec::new());
        }
        if frames > MAX_FRAMES {
            return Err(CodecError::TooLong { frames });
        }
        let mut padded = pcm.to_vec();
        padded.resize(frames * FRAME_SAMPLES, 0.0);
        let x = Tensor::from_vec(padded, (1, 1, frames * FRAME_SAMPLES), &self.device)?;
        let x = self.encoder.forward(&x)?;
        let x = self.encoder_transformer.forward(&x, &mut self.encoder_transformer.new_state())?;
        let x = self.downsample.forward(&x)?;
        let codes = self.decoder.quantizer.encode(&x)?.to_dtype(DType::U32)?.squeeze(0)?.to_vec2::<u32>()?;
        Ok((0..frames).map(|frame| std::array::from_fn(|codebook| codes[codebook][frame])).collect())
    }

    /// Sound of a whole utterance, 1920 samples a frame, 24 kHz mono.
    ///
    /// # Errors
    /// A code is out of range, more than [`MAX_FRAMES`], or a failing device.
    pub fn decode(&self, frames: &[Frame]) -> Result<Vec<f32>, CodecError> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        if frames.len() > MAX_FRAMES {
            return Err(CodecError::TooLong { frames: frames.len() });
        }
        let codes = codes_tensor(frames, 0, self.config.codebook_size, &self.device)?;
        let Decoder { quantizer, upsample, transformer, seanet } = &self.decoder;
        let x = upsample.forward(&quantizer.decode(&codes)?)?;
        let x = transformer.forward(&x, &mut transformer.new_state())?;
        Ok(seanet.forward(&x)?.flatten_all()?.to_vec1()?)
    }

    /// A decoder for one utterance, from silence. Cheap: it shares the weights.
    ///
    /// # Errors
    /// None today; a device may need to allocate.
    pub fn new_stream(&self) -> Result<DecodeStream, CodecError> {
        let decoder = self.decoder.clone();
        let state = decoder.transformer.new_state();
        let (codebook_size, device) = (self.config.codebook_size, self.device.clone());
        Ok(DecodeStream { decoder, state, codebook_size, device, frames: 0 })
    }
}

impl DecodeStream {
    /// The next 1920 samples.
    ///
    /// # Errors
    /// A code is out of range, or a failing device; the stream is unusable after the latter.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<f32>, CodecError> {
        let codes = codes_tensor(std::slice::from_ref(frame), self.frames, self.codebook_size, &self.device)?;
        self.frames += 1;
        let Decoder { quantizer, upsample, transformer, seanet } = &mut self.decoder;
        let x = upsample.step(&StreamTensor::from_tensor(quantizer.decode(&codes)?))?;
        let x = match x.as_option() {
            Some(x) => StreamTensor::from_tensor(transformer.forward(x, &mut self.state)?),
            None => StreamTensor::empty(),
        };
        let pcm = seanet.step(&x)?;
        match pcm.as_option() {
            Some(pcm) => Ok(pcm.flatten_all()?.to_vec1()?),
            None => Ok(Vec::new()),
        }
    }
}

/// `(1, 32, frames)` of checked codes; `first` is the number of the first frame in the utterance.
fn codes_tensor(frames: &[Frame], first: usize, limit: usize, device: &Device) -> Result<Tensor, CodecError> {
    let mut codes = Vec::with_capacity(frames.len() * CODEBOOKS);
    for codebook in 0..CODEBOOKS {
        for (index, frame) in frames.iter().enumerate() {
            let code = frame[codebook];
            if code as usize >= limit {
                return Err(CodecError::CodeOutOfRange { frame: first + index, codebook, code, limit });
            }
            codes.push(code);
        }
    }
    Ok(Tensor::from_vec(codes, (1, CODEBOOKS, frames.len()), device)?)
}

/// The codec's file, its config, and the prefix of its tensors.
fn open(folder: &Path) -> Result<(MmapedSafetensors, MimiConfig, &'static str), CodecError> {
    let files = map(&weight_files(folder).map_err(WeightsError::from)?)?;
    if files.tensors().iter().any(|(name, _)| name.starts_with(CODEC_PREFIX)) {
        let config = read_json(&folder.join(CONFIG_FILE))?;
        let root = Keys::root(&config)?;
        let codec = root.inner("codec_config")?.ok_or_else(|| root.error("codec_config", "is missing"))?;
        return Ok((files, MimiConfig::read(&codec)?, CODEC_PREFIX));
    }
    let beside = folder.join(CODEC_FOLDER);
    if !beside.join(CODEC_FILE).is_file() {
        return Err(CodecError::NoCodec { folder: folder.into() });
    }
    let config = read_json(&beside.join(CONFIG_FILE))?;
    let config = MimiConfig::read(&Keys::root(&config)?)?;
    Ok((map(&[beside.join(CODEC_FILE)])?, config, ""))
}

/// Progress by parts: candle reads a part's tensors in one go.
struct Parts<'a> {
    tensors: Vec<(String, u64)>,
    done: LoadProgress,
    progress: &'a mut dyn FnMut(LoadProgress),
}

impl<'a> Parts<'a> {
    fn new(files: &MmapedSafetensors, prefix: &str, progress: &'a mut dyn FnMut(LoadProgress)) -> Self {
        let own = |name: &str| Some(name.strip_prefix(prefix)?.trim_start_matches('.').to_owned());
        let tensors = files.tensors().into_iter();
        let tensors: Vec<_> =
            tensors.filter_map(|(name, view)| Some((own(&name)?, view.data().len() as u64))).collect();
        let done = LoadProgress {
            tensors_total: tensors.len(),
            bytes_total: tensors.iter().map(|tensor| tensor.1).sum(),
            ..LoadProgress::default()
        };
        progress(done);
        Self { tensors, done, progress }
    }

    fn done(&mut self, part: &str) {
        for (_, bytes) in self.tensors.iter().filter(|(name, _)| name.starts_with(part)) {
            self.done.tensors_done += 1;
            self.done.bytes_done += bytes;
        }
        (self.progress)(self.done);
    }
}
