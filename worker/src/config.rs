//! The worker's settings.

use std::net::SocketAddr;
use std::time::Duration;

use crate::deletion_cost::DeletionCostArgs;
use crate::marks::{MarkArgs, WatermarkError, WatermarkKey};
use crate::provenance::ProvenanceArgs;
use crate::speak::TakeLimits;
use clap::Args;
use csm_engine::engine::{DeviceChoice, MAX_SLOTS};
use csm_engine::model::WeightChoice;
use csm_queue::queue::QueueArgs;
use csm_queue::redis_client::RedisArgs;
use csm_shared::models::{HubOptions, ModelSource};
use csm_shared::process::shutdown;
use csm_shared::store::StoreArgs;
use csm_shared::watermark::{MAX_KEYS, WatermarkKeyArgs};

/// Most threads that the kernels can be given.
pub const MAX_THREADS: i64 = 1024;

/// Default memory for cached contexts, in MiB: some minutes of voices at full size.
pub const PREFIX_CACHE_MB: u32 = 256;

/// Settings of the speech: model, engine and marks.
#[derive(Args, Clone, Debug)]
pub struct SpeechArgs {
    /// Model: a hub id such as `unsloth/csm-1b`, or a folder
    #[arg(long, env = "CSM_MODEL", value_name = "ID|DIR")]
    pub model: ModelSource,
    /// `auto`, `cpu` or `cuda:N`
    #[arg(long, env = "CSM_DEVICE", default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Format of the model's matrices: `f32`, `bf16`, `q8_0`, `q4_k`, or `auto` (q8_0 on the CPU,
    /// bf16 on CUDA)
    #[arg(long, env = "CSM_WEIGHTS", default_value = "auto", value_name = "FORMAT")]
    pub weights: WeightChoice,
    /// Threads of the CPU's kernels [default: one per processor]
    #[arg(long, env = "CSM_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    pub threads: Option<u16>,
    /// Memory for cached contexts, such as voices, in MiB; 0 disables the cache
    #[arg(long, env = "CSM_PREFIX_CACHE_MB", default_value_t = PREFIX_CACHE_MB, value_name = "MIB")]
    pub prefix_cache_mb: u32,
    /// Limits that the audio of a sentence must keep, or be spoken again.
    #[command(flatten)]
    pub take_limits: TakeLimits,
    /// Keys of the watermark.
    #[command(flatten)]
    pub keys: WatermarkKeyArgs,
    /// Marks that files carry.
    #[command(flatten)]
    pub marks: MarkArgs,
    /// Signing of complete WAV files.
    #[command(flatten)]
    pub provenance: ProvenanceArgs,
    /// Options of the model hub.
    #[command(flatten)]
    pub hub: HubOptions,
}

/// Settings of a worker.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// Model, engine and marks.
    #[command(flatten)]
    pub speech: SpeechArgs,
    /// Jobs that run at the same time
    #[arg(long, env = "CSM_SLOTS", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64))]
    pub slots: u8,
    /// Lanes to serve: `all`, or `bulk` for a worker of bulk jobs alone. The latter reserves no slots, and
    /// publishes the codes of its jobs less often
    #[arg(long, env = "CSM_LANES", value_enum, default_value_t)]
    pub lanes: ServedLanes,
    /// Slots that only live jobs may take, so that a live job finds a free one; a worker of one slot
    /// reserves none
    #[arg(long, env = "CSM_LIVE_RESERVE_SLOTS", default_value_t = 1, value_name = "N")]
    pub live_reserve_slots: u8,
    /// Further slots that bulk jobs may not take, so that a standard job finds a free one; every
    /// lane has at least one slot
    #[arg(long, env = "CSM_RESERVE_SLOTS", default_value_t = 1, value_name = "N")]
    pub reserve_slots: u8,
    /// Longest time that running jobs may take to finish after SIGTERM; then they go back to the
    /// queue
    #[arg(long = "drain-seconds", env = "CSM_DRAIN_SECONDS", default_value = "30", value_parser = shutdown::grace, value_name = "SECONDS")]
    pub drain: Duration,
    /// Address for health and metrics
    #[arg(long = "admin-listen", env = "CSM_ADMIN_LISTEN", default_value = "127.0.0.1:9091", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Deletion cost of the worker's pod.
    #[command(flatten)]
    pub deletion_cost: DeletionCostArgs,
    /// Redis: queue and live channel.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Options of the queue.
    #[command(flatten)]
    pub queue: QueueArgs,
    /// Store of finished audio.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Lanes that a worker serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ServedLanes {
    /// All lanes.
    #[default]
    All,
    /// The bulk lane alone, for throughput.
    Bulk,
}

/// An unusable setting.
#[derive(Debug, thiserror::Error)]
pub enum WorkerConfigError {
    /// Missing secret: no audio leaves without a mark, and no mark is made without a key.
    #[error(
        "CSM_WATERMARK_KEY is not set: give a secret of 16 bytes or more, or for development pass --development-watermark"
    )]
    NoWatermarkKey,
    /// Invalid secret.
    #[error("CSM_WATERMARK_KEY: {0}")]
    WatermarkKey(#[from] WatermarkError),
    /// An invalid former secret, or too many of them.
    #[error("CSM_WATERMARK_OLD_KEYS: {0}")]
    OldKeys(#[source] WatermarkError),
}

impl SpeechArgs {
    /// Returns the watermark's key: the secret if one is set, or the development key if it is
    /// allowed. An empty variable counts as not set.
    pub fn watermark_key(&self) -> Result<WatermarkKey, WorkerConfigError> {
        self.keys.current()?.ok_or(WorkerConfigError::NoWatermarkKey)
    }

    /// Returns the former keys. Together with the current key there are at most [`MAX_KEYS`], the
    /// limit of a detector.
    pub fn watermark_old_keys(&self) -> Result<Vec<WatermarkKey>, WorkerConfigError> {
        let keys = self.keys.old().map_err(WorkerConfigError::OldKeys)?;
        let all = keys.len() + 1;
        if all > MAX_KEYS { Err(WorkerConfigError::OldKeys(WatermarkError::Keys { keys: all })) } else { Ok(keys) }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;
    use crate::marks::Policy;
    use csm_engine::model::WeightFormat;

    #[derive(Parser)]
    struct TestCli {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn parse(more: &[&str]) -> WorkerArgs {
        let always = ["worker", "--model", "/models/tiny", "--store", "folder:/tmp/audio"];
        match TestCli::try_parse_from(always.iter().chain(more)) {
            Ok(cli) => cli.worker,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn settings_do_not_collide_and_have_usable_defaults() {
        TestCli::command().debug_assert();
        let args = parse(&[]);
        assert_eq!((args.slots, args.drain), (5, Duration::from_secs(30)));
        assert_eq!(
            (args.speech.weights, args.speech.threads, args.speech.prefix_cache_mb),
            (WeightChoice::Auto, None, 256)
        );
        assert_eq!(args.speech.take_limits, TakeLimits::default());
    }

    #[test]
    fn the_engine_s_settings_are_read_and_bounded() {
        let args = parse(&["--weights", "q4_k", "--threads", "3", "--prefix-cache-mb", "0"]);
        assert_eq!((args.speech.threads, args.speech.prefix_cache_mb), (Some(3), 0));
        assert_eq!(args.speech.weights, WeightChoice::Format(WeightFormat::Q4K));
        let always = ["worker", "--model", "/models/tiny", "--store", "folder:/tmp/audio"];
        for wrong in [
            ["--retakes", "4"],
            ["--take-silence", "1.1"],
            ["--take-end-level", "0"],
            ["--weights", "q5_0"],
            ["--threads", "0"],
            ["--threads", "2000"],
            ["--prefix-cache-mb", "-1"],
        ] {
            assert!(TestCli::try_parse_from(always.iter().chain(&wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn there_is_no_watermark_policy_without_a_mark() {
        assert_eq!(parse(&[]).speech.marks.watermark, None);
        assert_eq!(parse(&[]).speech.marks.silentcipher.to_string(), "sony/silentcipher");
        assert_eq!(parse(&["--watermark", "both"]).speech.marks.watermark, Some(Policy::Both));
        let always = ["worker", "--model", "/models/tiny", "--store", "folder:/tmp/audio"];
        for wrong in ["off", "none", "", "false", "Both"] {
            let error =
                TestCli::try_parse_from(always.iter().chain(&["--watermark", wrong])).err().map(|e| e.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains("there is no off")), "{wrong:?}: {error:?}");
        }
    }

    #[test]
    fn no_worker_starts_without_a_watermark_key() {
        assert!(matches!(parse(&[]).speech.watermark_key(), Err(WorkerConfigError::NoWatermarkKey)));
        assert!(matches!(
            parse(&["--watermark-key", ""]).speech.watermark_key(),
            Err(WorkerConfigError::NoWatermarkKey)
        ));
        assert!(matches!(
            parse(&["--watermark-key", "short"]).speech.watermark_key(),
            Err(WorkerConfigError::WatermarkKey(_))
        ));
        assert!(parse(&["--watermark-key", "a passphrase of some length"]).speech.watermark_key().is_ok());
        for (secrets, keys) in
            [("", Some(0)), ("the passphrase of before, and another one here", Some(2)), ("short", None)]
        {
            let old = parse(&["--watermark-old-keys", secrets]).speech.watermark_old_keys();
            assert_eq!(old.as_ref().map(Vec::len).ok(), keys, "{old:?}");
        }
        let many = ["a passphrase of some length"; MAX_KEYS].join(",");
        let old = parse(&["--watermark-old-keys", &many]).speech.watermark_old_keys();
        assert!(matches!(old, Err(WorkerConfigError::OldKeys(WatermarkError::Keys { keys: 9 }))), "{old:?}");
        let development = parse(&["--development-watermark"]).speech.watermark_key().map(|key| key.id().to_string());
        assert_eq!(development.ok(), Some(WatermarkKey::development().id().to_string()));
    }
}
