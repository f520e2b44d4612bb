//! Measurements of the engine and of what it is measured against, for `csm bench`.
//!
//! Each function measures one thing on an otherwise idle machine and answers plain numbers; running them one after another
//! in processes of their own, and what to make of the numbers, is the caller's. Peers are run as they come: candle's own
//! CSM ([`candle_csm`]) and Mimi ([`candle_mimi`]) on the same weights. Frames before the first measured one warm up pages,
//! threads and caches. An utterance that a model ends is begun anew outside the measured time, so that every row makes
//! every frame.

mod bandwidth;
mod candle_csm;
mod codec_bench;
mod engine_bench;
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
pub use engine_bench::{EnginePlan, EngineTimings, run_engine};
pub use quality::{Quality, QualityPlan, compare};
pub use steps::{FrameTimes, Steps, StepsPlan, step};

use csm_engine::codec::CodecError;
use csm_engine::engine::{DeviceChoice, EngineError};
use csm_engine::model::{CsmConfig, ModelError, Position};
use csm_kernels::threads_or_all;

/// Frames before the first measured one: the first reads the prompt, the second is the first that reads a frame.
pub const WARM_UP: usize = 2;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The device, or candle's own models.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
    /// The peer cannot run this checkpoint.
    #[error("{0}")]
    Unsuitable(String),
}

/// What of a checkpoint is measured, and on what.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The checkpoint's folder.
    pub folder: PathBuf,
    /// Where it runs.
    pub device: DeviceChoice,
    /// CPU threads; as many as there are cores when absent.
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

    /// The accelerator's name, if it is one that the model runs on.
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

/// A prompt of text positions; another `which` has other ids.
fn prompt(config: &CsmConfig, which: usize, positions: usize) -> Vec<Position> {
    prompt_ids(config.text_vocab, which, positions).map(Position::Text).collect()
}

fn prompt_ids(text_vocab: usize, which: usize, positions: usize) -> impl Iterator<Item = u32> {
    (0..positions).map(move |index| ((index * 37 + which * 11) % text_vocab) as u32)
}

/// CSM's own sampling, with draws of its own for each row.
fn sampling(row: usize) -> Sampling {
    Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(row as u64) }
}

/// Mean of some times; zero of none.
#[must_use]
pub fn mean(times: &[Duration]) -> Duration {
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    times.iter().sum::<Duration>() / count
}

/// Median of some times; zero of none.
#[must_use]
pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
