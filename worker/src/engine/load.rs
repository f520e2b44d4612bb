//! From a checkpoint folder to a model that has spoken: load, hash, warm up.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, DeviceLocation};
use csm_shared::audio::{Clip, to_i16};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};
use tokio::sync::watch;

use super::prompt::PromptLimits;
use super::speech::{Resident, SpeechModel};
use super::{EngineConfig, EngineError};
use crate::checkpoint;
use crate::codec::Codec;
use crate::model::{LoadProgress, Model, Position, weights_sha256};

/// Text ids of the warm-up utterance.
const WARM_UP_IDS: usize = 8;
/// Frames of the warm-up utterance: a first one from the prompt, a second one from the first.
const WARM_UP_FRAMES: u32 = 2;
/// Progress is logged each time another such part of the bytes is there.
const LOGGED_PARTS: u64 = 4;

/// How far an engine's start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStage {
    /// The model's weights are being read.
    Weights {
        /// Bytes on the device.
        done: u64,
        /// Bytes to load; 0 while unknown.
        total: u64,
    },
    /// The codec's weights are being read.
    Codec {
        /// Bytes on the device.
        done: u64,
        /// Bytes to load; 0 while unknown.
        total: u64,
    },
    /// The model speaks its first words.
    WarmUp,
    /// Utterances can be admitted.
    Ready,
}

impl fmt::Display for LoadStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |done: u64, total: u64| done * 100 / total.max(1);
        match *self {
            Self::Weights { done, total } => write!(f, "loading the model, {} %", percent(done, total)),
            Self::Codec { done, total } => write!(f, "loading the codec, {} %", percent(done, total)),
            Self::WarmUp => f.write_str("warming up"),
            Self::Ready => f.write_str("ready"),
        }
    }
}

/// What was loaded, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// The model's name, as configured.
    pub model: String,
    /// SHA-256 over its weight files, hex.
    pub weights_sha256: String,
    /// True for the random checkpoints made here: the audio is noise, not speech.
    pub noise_only: bool,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// What the model's weights are held in: `f32` or `bf16`. The codec is always f32.
    pub dtype: String,
    /// Utterances spoken at a time.
    pub slots: usize,
    /// Positions that a prompt and its speech share.
    pub max_positions: usize,
    /// From the start to the end of the warm-up.
    pub load_seconds: f64,
}

/// Loads and warms up what `config` names, on the calling thread, which must be the one that will use it.
pub(super) fn load(
    config: &EngineConfig,
    stage: &watch::Sender<LoadStage>,
) -> Result<(Resident, ModelInfo), EngineError> {
    let begun = Instant::now();
    let device = config.device.open()?;
    tracing::info!(model = %config.model, folder = %config.folder.display(), device = %name(&device), "loading");
    let (mut resident, weights_sha256) = read(&config.folder, &device, &mut Reporter { stage, logged: 0 })?;
    stage.send_replace(LoadStage::WarmUp);
    warm_up(&mut resident).map_err(|error| EngineError::Start(format!("warm-up: {error}")))?;
    let info = ModelInfo {
        model: config.model.clone(),
        weights_sha256,
        noise_only: checkpoint::is_noise(&config.folder),
        device: name(&device),
        dtype: resident.model.dtype().as_str().to_owned(),
        slots: config.slots,
        max_positions: resident.limits().window,
        load_seconds: begun.elapsed().as_secs_f64(),
    };
    tracing::info!(load_s = info.load_seconds, dtype = %info.dtype, slots = info.slots, "loaded and warm");
    Ok((resident, info))
}

fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        _ => "cpu".to_owned(),
    }
}

/// Reads model and codec, and the model's hash beside them. Hashing begins once the first progress is told, so that a
/// folder without a usable model is refused at once.
fn read(folder: &Path, device: &Device, report: &mut Reporter<'_>) -> Result<(Resident, String), EngineError> {
    std::thread::scope(|scope| {
        let mut hash = None;
        let model = Model::load(folder, device, &mut |progress| {
            hash.get_or_insert_with(|| scope.spawn(|| weights_sha256(folder)));
            report.weights(progress);
        });
        let model = model.map_err(cannot_start)?;
        let codec = Codec::load(folder, device, &mut |progress| report.codec(progress)).map_err(cannot_start)?;
        let hash = match hash.map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(hash)) => hash,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => weights_sha256(folder),
        };
        Ok((Resident { model, codec }, hash.map_err(cannot_start)?))
    })
}

fn cannot_start(error: impl std::error::Error) -> EngineError {
    EngineError::Start(error.to_string())
}

/// Speaks a few frames and encodes them, so that the first caller does not wait for kernels, pages and thread pools, and
/// so that a model that cannot speak never becomes ready. Whatever codes come are decoded, the end frame too.
fn warm_up<M: SpeechModel>(model: &mut M) -> Result<(), EngineError> {
    let PromptLimits { text_vocab, .. } = model.limits();
    let prompt: Vec<_> = (0..text_vocab.min(WARM_UP_IDS) as u32).map(Position::Text).collect();
    let sampling = Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(0) };
    let mut state = model.new_state()?;
    model.prefill(&mut state, &prompt)?;
    let mut samples = Vec::new();
    for index in 0..WARM_UP_FRAMES {
        let frame = model.step(&mut state, &sampling, index)?;
        samples.extend(model.decode(&mut state, &frame)?.into_iter().map(to_i16));
        if frame == crate::model::END_FRAME {
            break;
        }
    }
    model.encode(&Clip::from_samples(samples)).map(drop)
}

/// Tells progress to whoever watches, and to the log in a few lines.
struct Reporter<'a> {
    stage: &'a watch::Sender<LoadStage>,
    logged: u64,
}

impl Reporter<'_> {
    fn weights(&mut self, progress: LoadProgress) {
        let LoadProgress { bytes_done: done, bytes_total: total, .. } = progress;
        self.stage.send_replace(LoadStage::Weights { done, total });
        let part = done * LOGGED_PARTS / total.max(1);
        if part > self.logged {
            self.logged = part;
            tracing::info!(
                done_mb = done >> 20,
                total_mb = total >> 20,
                tensors = progress.tensors_done,
                "loading weights"
            );
        }
    }

    fn codec(&self, progress: LoadProgress) {
        self.stage.send_replace(LoadStage::Codec { done: progress.bytes_done, total: progress.bytes_total });
    }
}
