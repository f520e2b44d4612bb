//! Settings of model, engine and marks, for the commands that speak by themselves.

mod choose;

use clap::Args;
use csm_engine::engine::DeviceChoice;
use csm_engine::model::WeightChoice;
use csm_shared::models::HubOptions;
use csm_shared::watermark::WatermarkKeyArgs;
use csm_worker::config::{self, MAX_THREADS, PREFIX_CACHE_MB};
use csm_worker::marks::MarkArgs;
use csm_worker::provenance::ProvenanceArgs;
use csm_worker::speak::TakeLimits;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use choose::{ChosenModel, ModelChoice, choose};

#[derive(Args, Clone, Debug)]
pub(crate) struct SpeechArgs {
    /// `auto`, `tiny` (a toy voice), `noise` (random weights), a hub id such as unsloth/csm-1b, or a
    /// folder
    #[arg(long, env = "CSM_MODEL", default_value = "auto", value_name = "MODEL")]
    pub(crate) model: ModelChoice,
    /// `auto`, `cpu` or `cuda:N`
    #[arg(long, env = "CSM_DEVICE", default_value = "auto", value_name = "DEVICE")]
    device: DeviceChoice,
    /// Threads of the CPU's kernels [default: one per processor]
    #[arg(long, env = "CSM_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
    /// Memory for cached contexts, such as voices, in MiB; 0 disables the cache
    #[arg(long, env = "CSM_PREFIX_CACHE_MB", default_value_t = PREFIX_CACHE_MB, value_name = "MIB")]
    prefix_cache_mb: u32,
    /// Number format of the model's matrices: f32, q8_0, q4_k, or auto (q8_0 on the CPU)
    #[arg(long, env = "CSM_WEIGHTS", default_value = "auto", value_name = "FORMAT")]
    pub(crate) weights: WeightChoice,
    /// Secret of the watermark [default: the published development key]
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    pub(crate) watermark_key: Option<SecretString>,
    /// Earlier secrets whose marks are still to be found: one a line, or separated by commas
    #[arg(long, env = "CSM_WATERMARK_OLD_KEYS", hide_env_values = true, value_name = "SECRETS")]
    watermark_old_keys: Option<SecretString>,
    #[command(flatten)]
    take_limits: TakeLimits,
    #[command(flatten)]
    marks: MarkArgs,
    #[command(flatten)]
    provenance: ProvenanceArgs,
    #[command(flatten)]
    pub(crate) hub: HubOptions,
}

impl SpeechArgs {
    /// Returns the keys of the watermark: the development key if there is no secret.
    pub(crate) fn keys(&self) -> WatermarkKeyArgs {
        let secret = self.watermark_key.as_ref().filter(|secret| !secret.expose_secret().is_empty());
        WatermarkKeyArgs {
            watermark_key: secret.cloned(),
            development_watermark: secret.is_none(),
            watermark_old_keys: self.watermark_old_keys.clone(),
        }
    }

    /// Returns the worker's settings for a model.
    pub(crate) fn of_worker(&self, model: &ChosenModel) -> config::SpeechArgs {
        config::SpeechArgs {
            model: model.source.clone(),
            device: self.device,
            weights: self.weights,
            threads: self.threads,
            prefix_cache_mb: self.prefix_cache_mb,
            take_limits: self.take_limits,
            keys: self.keys(),
            marks: self.marks.clone(),
            provenance: self.provenance.clone(),
            hub: model.hub.clone(),
        }
    }
}
