//! Loading of a model folder: reads and hashes the weights, then warms up the model.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, DeviceLocation};
use csm_shared::audio::{Clip, to_i16};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};
use tokio::sync::watch;

use super::EngineConfig;
use super::backend::{Decode as _, Encode as _, EngineParts, SpeechModel};
use super::error::EngineError;
use super::prefill::PromptLimits;
use crate::codec::Codec;
use crate::model::{END_FRAME, LoadOptions, LoadProgress, Model, Position, Row, weights_sha256};
use crate::random_model;
use csm_kernels::threads_or_all;

/// Text ids of the warm-up utterance.
const WARM_UP_IDS: usize = 8;
/// Number of equal parts of the bytes after each of which progress is logged.
const LOGGED_PARTS: u64 = 4;

/// Stage of an engine's start.
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
    /// The model generates its warm-up frames.
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

/// Facts about a loaded model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Name of the model, as configured.
    pub model: String,
    /// SHA-256 over the model's weight files, in hex.
    pub weights_sha256: String,
    /// Whether the weights are random ones made by this program: the audio is noise, not speech.
    pub noise_only: bool,
    /// Device of the model: `cpu` or `cuda:N`.
    pub device: String,
    /// Number format of the model's matrices: `f32`, `bf16`, `q8_0` or `q4_k`. The codec is always
    /// f32.
    pub dtype: String,
    /// Kind of device, as far as results may differ by a bit: `cuda`, or `cpu-` and the
    /// architecture.
    pub kernels: String,
    /// Utterances generated at a time.
    pub slots: usize,
    /// Positions that a prompt and its speech share.
    pub max_positions: usize,
    /// Seconds from the start of loading to the end of the warm-up.
    pub load_seconds: f64,
}

/// Loads and warms up the model of `config` on the calling thread, which must be the engine's
/// thread.
pub(super) fn load(
    config: &EngineConfig,
    stage: &watch::Sender<LoadStage>,
) -> Result<(EngineParts<Model>, ModelInfo), EngineError> {
    let begun = Instant::now();
    let device = config.device.open()?;
    tracing::info!(model = %config.model, folder = %config.folder.display(), device = %name(&device), "loading model");
    let (mut parts, weights_sha256) = read(config, &device, &mut Reporter { stage, logged: 0 })?;
    stage.send_replace(LoadStage::WarmUp);
    warm_up(&mut parts, config.slots).map_err(|error| EngineError::Start(format!("warm-up: {error}")))?;
    let info = ModelInfo {
        model: config.model.clone(),
        weights_sha256,
        noise_only: random_model::is_noise(&config.folder),
        device: name(&device),
        dtype: parts.model.format().to_string(),
        kernels: kernels(&device),
        slots: config.slots,
        max_positions: parts.model.limits().window,
        load_seconds: begun.elapsed().as_secs_f64(),
    };
    let resident_mb = parts.model.memory().iter().map(|(_, bytes)| bytes).sum::<u64>() >> 20;
    let dtype = &info.dtype;
    tracing::info!(load_s = info.load_seconds, %dtype, slots = info.slots, resident_mb, "loaded model");
    Ok((parts, info))
}

fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        _ => "cpu".to_owned(),
    }
}

fn kernels(device: &Device) -> String {
    match device {
        Device::Cpu => format!("cpu-{}", std::env::consts::ARCH),
        _ => "cuda".to_owned(),
    }
}

/// Reads model and codec, and hashes the model's weights at the same time. Hashing begins after the
/// first progress report, so that a folder without a usable model is refused at once.
fn read(
    config: &EngineConfig,
    device: &Device,
    report: &mut Reporter<'_>,
) -> Result<(EngineParts<Model>, String), EngineError> {
    let EngineConfig { folder, weights, slots, threads, .. } = config;
    let options = LoadOptions { weights: *weights, slots: *slots, threads: *threads };
    std::thread::scope(|scope| {
        let mut hash = None;
        let model = Model::load(folder, device, &options, &mut |progress| {
            hash.get_or_insert_with(|| scope.spawn(|| weights_sha256(folder)));
            report.weights(progress);
        });
        let model = model.map_err(cannot_start)?;
        let codec = Codec::load(folder, device, &mut |progress| report.codec(progress)).map_err(cannot_start)?;
        let decoder = codec.new_decoder(*slots, codec_threads(*threads, device));
        let hash = match hash.map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(hash)) => hash,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => weights_sha256(folder),
        };
        Ok((EngineParts { model, decoder, encoder: Arc::new(codec) }, hash.map_err(cannot_start)?))
    })
}

/// Returns the number of threads for the codec's decoder. On the CPU the decoder runs beside the
/// model, which has all threads, and does less than a quarter of the model's work. Beside a GPU the
/// decoder has the processor to itself.
fn codec_threads(threads: Option<usize>, device: &Device) -> usize {
    let threads = threads_or_all(threads);
    if device.is_cpu() { threads.div_ceil(4) } else { threads }
}

fn cannot_start(error: impl std::error::Error) -> EngineError {
    EngineError::Start(error.to_string())
}

/// Generates a few frames and encodes them, first one row alone, then a row in each slot. The first
/// caller then does not wait for kernels, pages and thread pools. A model that cannot generate
/// never becomes ready. All codes are decoded, even the end frame.
fn warm_up<M: SpeechModel>(parts: &mut EngineParts<M>, slots: usize) -> Result<(), EngineError> {
    let EngineParts { model, decoder, encoder } = parts;
    let PromptLimits { text_vocab, .. } = model.limits();
    let prompt: Vec<_> = (0..text_vocab.min(WARM_UP_IDS) as u32).map(Position::Text).collect();
    let sampling = Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(0) };
    for slot in 0..slots {
        model.reset(slot);
        model.prefill(slot, &prompt)?;
    }
    let alone = model.step(&[Row { slot: 0, sampling, frame_index: 0 }])?;
    let mut samples = Vec::new();
    for pcm in decoder.push(&[(0, &alone)])? {
        samples.extend(pcm.into_iter().map(to_i16));
    }
    let left = 0..slots;
    let rows: Vec<_> = left
        .filter(|&slot| slot > 0 || !alone.contains(&END_FRAME))
        .map(|slot| Row { slot, sampling, frame_index: u32::from(slot == 0) })
        .collect();
    let together = if rows.is_empty() { Vec::new() } else { model.step(&rows)? };
    let frames: Vec<_> = rows.iter().zip(together.chunks(1)).map(|(row, frame)| (row.slot, frame)).collect();
    if !frames.is_empty() {
        decoder.push(&frames)?;
    }
    encoder.encode(&Clip::from_samples(samples)).map(drop)
}

/// Reporter of progress, to the watch channel and in a few lines to the log.
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
