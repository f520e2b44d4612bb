//! The Mimi codec: encodes recordings to codes, and decodes codes to audio as they come.
//!
//! The encoder uses candle's convolutions and takes whole recordings. The decoder is this project's
//! own and streams several utterances side by side (see [`Decoder`]). All 32 codebooks are decoded,
//! always in f32.

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

pub use crate::weights::CODEC_FOLDER;
use crate::weights::{ConfigError, ConfigObject, LoadProgress, WeightsError, map, read_json};
pub use decoder::Decoder;
use decoder::Network;
use encoder::Encoder;
pub use mimi_config::MimiConfig;
use quantizer::Quantizer;

/// Prefix of the codec's tensors inside the model's weights.
pub const CODEC_PREFIX: &str = "codec_model";
/// Largest number of frames of a recording to encode or of an utterance to decode at once: the
/// model's window.
pub const MAX_FRAMES: usize = 2048;

/// Frames that a one-shot decode takes at once, enough to make reading the weights cheap.
const BLOCK_FRAMES: usize = 8;
/// File of the codec in its own folder.
const CODEC_FILE: &str = "model.safetensors";

/// Error of loading the codec, or of its input.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The codec's config lacks a key or asks for an unsupported value.
    #[error("codec: {0}")]
    Config(#[from] ConfigError),
    /// The files cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model folder holds no codec.
    #[error(
        "{folder} holds no codec: neither {CODEC_PREFIX}.* tensors in the checkpoint nor {CODEC_FOLDER}/{CODEC_FILE}"
    )]
    NoCodec {
        /// Path of the model folder.
        folder: PathBuf,
    },
    /// A code is not in its codebook.
    #[error("frame {frame}, codebook {codebook}: code {code} is not below {limit}")]
    CodeOutOfRange {
        /// Index of the frame.
        frame: usize,
        /// Index of the codebook.
        codebook: usize,
        /// Code in question.
        code: u32,
        /// Number of codes of a codebook.
        limit: usize,
    },
    /// A row names a slot that does not exist, or two rows name the same slot.
    #[error("slot {slot} is given twice or is not below {slots}")]
    Slot {
        /// Slot in question.
        slot: usize,
        /// Number of slots.
        slots: usize,
    },
    /// The input is longer than [`MAX_FRAMES`].
    #[error("{frames} frames are more than the {MAX_FRAMES} of the model's window")]
    TooLong {
        /// Frames of the input.
        frames: usize,
    },
    /// The device failed, or a tensor is missing or misshapen (the message names it).
    #[error("codec: {0}")]
    Device(#[from] candle_core::Error),
}

/// Threads that pack the decoder's weights. The weights stay floats, so packing is a copy, as fast
/// as reading the file.
const PACKING_THREADS: usize = 1;

/// The codec of a model: the encoder on a device, the decoder's weights on the host.
pub struct Codec {
    config: MimiConfig,
    encoder: Encoder,
    network: Arc<Network>,
    encoder_bytes: u64,
}

impl Codec {
    /// Loads the codec of a model folder in f32: `codec_model.*` of the model's weights, or the
    /// folder `mimi` inside.
    ///
    /// # Errors
    /// [`CodecError`] if there is no codec, its config is not supported, or a tensor is missing or
    /// misshapen.
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

    /// Returns the codec's dimensions.
    #[must_use]
    pub fn config(&self) -> &MimiConfig {
        &self.config
    }

    /// Returns the codes of a whole recording, 24 kHz mono, padded with silence to whole frames.
    ///
    /// # Errors
    /// [`CodecError`] if the recording is longer than [`MAX_FRAMES`] or the device fails.
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

    /// Returns the audio of a whole utterance, 1920 samples a frame, 24 kHz mono.
    ///
    /// # Errors
    /// [`CodecError`] if a code is out of range or there are more than [`MAX_FRAMES`] frames.
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

    /// Returns a decoder of `slots` utterances side by side, on `threads` threads (the caller
    /// included), with all slots silent. The decoder shares the weights; [`Decoder::memory`] tells
    /// what it adds.
    #[must_use]
    pub fn new_decoder(&self, slots: usize, threads: usize) -> Decoder {
        Decoder::new(Arc::clone(&self.network), slots, threads)
    }

    /// Returns the bytes of the weights, the encoder's on its device and the decoder's on the host.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.encoder_bytes + self.network.bytes() as u64
    }
}

/// Returns a tensor's numbers on the host.
fn numbers(vb: &VarBuilder<'_>, name: &str, shape: &[usize]) -> candle_core::Result<Vec<f32>> {
    vb.get(shape, name)?.flatten_all()?.to_vec1()
}

/// Opens the codec's file; returns its config and the prefix of its tensors too.
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

/// Progress tracker by parts, because candle reads all tensors of a part at once.
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
