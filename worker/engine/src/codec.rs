//! Mimi: a caller's recording to codes, and codes to sound while they come.
//!
//! The encoder's convolutions are candle's and see whole recordings; the decoder is ours and streams several utterances
//! side by side (see [`Decoder`]). All 32 codebooks are decoded, always in f32.

mod decoder;
mod encoder;
pub mod mimi_config;
mod quantizer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use csm_shared::audio::{FRAME_SAMPLES, Frame};
use csm_shared::models::weight_files;
use csm_shared::prompt::CONFIG_FILE;

use crate::weights::{ConfigError, ConfigObject, LoadProgress, WeightsError, map, read_json};
pub use decoder::Decoder;
use decoder::Network;
use encoder::Encoder;
pub use mimi_config::MimiConfig;
use quantizer::Quantizer;

/// The folder beside a checkpoint that holds the codec when the checkpoint itself does not.
pub const CODEC_FOLDER: &str = "mimi";
/// What the codec's tensors begin with inside a checkpoint.
pub const CODEC_PREFIX: &str = "codec_model";
/// The longest recording that is encoded, and the longest utterance decoded at once: the model's window.
pub const MAX_FRAMES: usize = 2048;

/// Frames that a one-shot decode takes at once: enough that reading the weights costs little.
const BLOCK_FRAMES: usize = 8;
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
    /// A row for no slot, or two for one.
    #[error("slot {slot} is given twice or is not below {slots}")]
    Slot {
        /// The slot.
        slot: usize,
        /// Slots end here.
        slots: usize,
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

/// Threads that pack the decoder's weights. They stay floats, so packing is a copy, as quick as the file is read.
const PACKING_THREADS: usize = 1;

/// One codec: the encoder on a device, the decoder's weights on the host.
pub struct Codec {
    config: MimiConfig,
    encoder: Encoder,
    network: Arc<Network>,
    encoder_bytes: u64,
}

impl Codec {
    /// Loads the codec of a model folder in f32: `codec_model.*` of the checkpoint, or the folder `mimi` beside it.
    ///
    /// # Errors
    /// There is none, its config is not supported, or a tensor is missing or misshapen.
    pub fn load(folder: &Path, device: &Device, progress: &mut dyn FnMut(LoadProgress)) -> Result<Self, CodecError> {
        let (files, config, prefix) = open(folder)?;
        let mut tracker = LoadTracker::new(&files, prefix, progress);
        let vb = VarBuilder::from_backend(Box::new(files), DType::F32, device.clone());
        let vb = if prefix.is_empty() { vb } else { vb.pp(prefix) };
        let host = vb.clone().set_device(Device::Cpu);
        let encoder = Encoder::load(&config, &vb, &mut |part| tracker.done(part))?;
        let encoder_bytes = tracker.done.bytes_done;
        let quantizer = Quantizer::load(&config, &host.pp("quantizer"))?;
        tracker.done("quantizer.");
        let network = Arc::new(Network::load(&config, quantizer, &host, &mut |part| tracker.done(part))?);
        Ok(Self { config, encoder, network, encoder_bytes })
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
        Ok(self.network.quantizer.encode(&self.encoder.latents(padded)?)?)
    }

    /// Sound of a whole utterance, 1920 samples a frame, 24 kHz mono.
    ///
    /// # Errors
    /// A code is out of range, more than [`MAX_FRAMES`], or a failing device.
    pub fn decode(&self, frames: &[Frame]) -> Result<Vec<f32>, CodecError> {
        if frames.len() > MAX_FRAMES {
            return Err(CodecError::TooLong { frames: frames.len() });
        }
        let mut decoder = self.new_decoder(1, 1);
        let mut pcm = Vec::with_capacity(frames.len() * FRAME_SAMPLES);
        for block in frames.chunks(BLOCK_FRAMES) {
            pcm.extend(decoder.push(&[(0, block)])?.concat());
        }
        Ok(pcm)
    }

    /// A decoder of `slots` utterances side by side, on `threads` threads (the caller included), all slots silent. It
    /// shares the weights; see [`Decoder::memory`] for what it adds.
    #[must_use]
    pub fn new_decoder(&self, slots: usize, threads: usize) -> Decoder {
        Decoder::new(Arc::clone(&self.network), slots, threads)
    }

    /// Bytes of the weights, the encoder's on its device and the decoder's on the host.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.encoder_bytes + self.network.bytes() as u64
    }
}

/// A tensor's numbers on the host.
fn numbers(vb: &VarBuilder<'_>, name: &str, shape: &[usize]) -> candle_core::Result<Vec<f32>> {
    vb.get(shape, name)?.flatten_all()?.to_vec1()
}

/// The codec's file, its config, and the prefix of its tensors.
fn open(folder: &Path) -> Result<(MmapedSafetensors, MimiConfig, &'static str), CodecError> {
    let files = map(&weight_files(folder).map_err(WeightsError::from)?)?;
    if files.tensors().iter().any(|(name, _)| name.starts_with(CODEC_PREFIX)) {
        let config = read_json(&folder.join(CONFIG_FILE))?;
        let root = ConfigObject::root(&config)?;
        let codec = root.inner("codec_config")?.ok_or_else(|| root.error("codec_config", "is missing"))?;
        return Ok((files, MimiConfig::read(&codec)?, CODEC_PREFIX));
    }
    let beside = folder.join(CODEC_FOLDER);
    if !beside.join(CODEC_FILE).is_file() {
        return Err(CodecError::NoCodec { folder: folder.into() });
    }
    let config = read_json(&beside.join(CONFIG_FILE))?;
    let config = MimiConfig::read(&ConfigObject::root(&config)?)?;
    Ok((map(&[beside.join(CODEC_FILE)])?, config, ""))
}

/// Progress by parts: candle reads a part's tensors in one go.
struct LoadTracker<'a> {
    tensors: Vec<(String, u64)>,
    done: LoadProgress,
    progress: &'a mut dyn FnMut(LoadProgress),
}

impl<'a> LoadTracker<'a> {
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
