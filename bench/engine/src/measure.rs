//! Measurements of the engine and of its peers, for `csm bench`.
//!
//! Each function measures one thing on an otherwise idle machine and returns plain numbers. The
//! caller runs each measurement in a process of its own and interprets the numbers. Peers run
//! unchanged: candle's own CSM ([`candle_csm`]) and Mimi ([`candle_mimi`]) on the same weights.
//! Frames before the first measured one warm up pages, threads and caches. If a model ends an
//! utterance, the row begins another outside the measured time, so every row makes every frame.

mod bandwidth;
mod candle_csm;
mod codec_bench;
mod engine_run;
mod quality;
mod steps;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use candle_core::Device;
use csm_shared::job::{Sampling, Seed, Temperature, TopK};

pub use bandwidth::{Bandwidth, device_bandwidth, host_bandwidth};
pub use candle_csm::{CandleDtype, CandlePlan, candle_csm};
pub use codec_bench::{CodecFrames, CodecPlan, candle_mimi, our_codec};
pub use engine_run::{EnginePlan, EngineTimings, run_engine};
pub use quality::{Quality, QualityPlan, compare};
pub use steps::{FrameTimes, Steps, StepsPlan, step};

use csm_engine::codec::CodecError;
use csm_engine::engine::{DeviceChoice, EngineError};
use csm_engine::model::{CsmConfig, ModelError, Position};
use csm_kernels::threads_or_all;

/// Frames before the first measured one. The first reads the prompt, the second is the first one
/// that reads a frame.
pub const WARM_UP: usize = 2;

/// Reasons why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Failure of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Failure of the codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Failure of the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Failure of the device, or of candle's own models.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
    /// Model that the peer cannot run.
    #[error("{0}")]
    Unsuitable(String),
}

/// Model, device, threads and prompt of a measurement.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Folder of the model.
    pub folder: PathBuf,
    /// Device that runs the model.
    pub device: DeviceChoice,
    /// CPU threads; one for each core if absent.
    pub threads: Option<usize>,
    /// Text positions before an utterance's first frame.
    pub prompt: usize,
}

impl Subject {
    fn open_device(&self) -> Result<Device, BenchError> {
        Ok(match self.device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda(index) => Device::new_cuda(index)?,
            DeviceChoice::Auto => Device::cuda_if_available(0)?,
        })
    }

    /// Returns the accelerator's name, if the model runs on one.
    #[must_use]
    pub fn accelerator(&self) -> Option<String> {
        match self.open_device().ok()? {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => device.cuda_stream().context().name().ok(),
            _ => None,
        }
    }

    fn threads(&self) -> usize {
        threads_or_all(self.threads)
    }
}

/// Makes a prompt of text positions, with other ids for another `which`.
fn prompt(config: &CsmConfig, which: usize, positions: usize) -> Vec<Position> {
    prompt_ids(config.text_vocab, which, positions).map(Position::Text).collect()
}

fn prompt_ids(text_vocab: usize, which: usize, positions: usize) -> impl Iterator<Item = u32> {
    (0..positions).map(move |index| ((index * 37 + which * 11) % text_vocab) as u32)
}

/// Returns CSM's own sampling, with separate draws for each row.
fn sampling(row: usize) -> Sampling {
    Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(row as u64) }
}

/// Returns the mean of the times; zero for none.
#[must_use]
pub fn mean(times: &[Duration]) -> Duration {
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    times.iter().sum::<Duration>() / count
}

/// Returns the median of the times; zero for none.
#[must_use]
pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
