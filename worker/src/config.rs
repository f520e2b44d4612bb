//! The worker's settings.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use csm_shared::hub::{HubOptions, ModelSource};
use csm_shared::redis_client::RedisArgs;
use csm_shared::shutdown;
use csm_shared::store::StoreArgs;
use secrecy::{ExposeSecret as _, SecretString};

use crate::engine::{DeviceChoice, MAX_SLOTS};
use crate::watermark::WatermarkKey;

/// Everything a worker is told.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// Model: a hub id such as `unsloth/csm-1b`, or a folder
    #[arg(long, env = "CSM_MODEL", value_name = "ID|DIR")]
    pub model: ModelSource,
    /// Jobs run at once
    #[arg(long, env = "CSM_SLOTS", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64))]
    pub slots: u8,
    /// `auto`, `cpu` or `cuda:N`
    #[arg(long, env = "CSM_DEVICE", default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Secret of the watermark: a passphrase or hex digits, 16 bytes or more
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    pub watermark_key: Option<SecretString>,
    /// Without a secret, use the published development key, whose mark proves nothing
    #[arg(long, env = "CSM_DEVELOPMENT_WATERMARK", value_parser = clap::builder::FalseyValueParser::new())]
    pub development_watermark: bool,
    /// How long running jobs may take to finish after SIGTERM; then they are handed back
    #[arg(long = "drain-seconds", env = "CSM_DRAIN_SECONDS", default_value = "30", value_parser = shutdown::grace, value_name = "SECONDS")]
    pub drain: Duration,
    /// Port for health and metrics
    #[arg(long = "admin-listen", env = "CSM_ADMIN_LISTEN", default_value = "127.0.0.1:9091", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Queue and live channel
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Where the audio goes
    #[command(flatten)]
    pub store: StoreArgs,
    /// Where the model comes from
    #[command(flatten)]
    pub hub: HubOptions,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No audio leaves without a mark, and no mark is made without a key.
    #[error(
        "CSM_WATERMARK_KEY is not set: give a secret of 16 bytes or more, or for development pass --development-watermark"
    )]
    NoWatermarkKey,
    /// The secret is no key.
    #[error("CSM_WATERMARK_KEY: {0}")]
    WatermarkKey(#[from] crate::watermark::WatermarkError),
}

impl WorkerArgs {
    /// The watermark's key: the secret where there is one (a variable set to nothing counts as not set).
    pub fn watermark_key(&self) -> Result<WatermarkKey, ConfigError> {
        match &self.watermark_key {
            Some(secret) if !secret.expose_secret().is_empty() => Ok(WatermarkKey::parse(secret.expose_secret())?),
            _ if self.development_watermark => Ok(WatermarkKey::development()),
            _ => Err(ConfigError::NoWatermarkKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn parse(more: &[&str]) -> WorkerArgs {
        let always = ["worker", "--model", "/models/tiny", "--store", "folder:/tmp/audio"];
        match Cli::try_parse_from(always.iter().chain(more)) {
            Ok(cli) => cli.worker,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn settings_do_not_collide_and_have_usable_defaults() {
        Cli::command().debug_assert();
        let args = parse(&[]);
        assert_eq!((args.slots, args.drain), (5, Duration::from_secs(30)));
    }

    #[test]
    fn no_worker_starts_without_a_watermark_key() {
        assert!(matches!(parse(&[]).watermark_key(), Err(ConfigError::NoWatermarkKey)));
        assert!(matches!(parse(&["--watermark-key", ""]).watermark_key(), Err(ConfigError::NoWatermarkKey)));
        assert!(matches!(parse(&["--watermark-key", "short"]).watermark_key(), Err(ConfigError::WatermarkKey(_))));
        assert!(parse(&["--watermark-key", "a passphrase of some length"]).watermark_key().is_ok());
        let development = parse(&["--development-watermark"]).watermark_key().map(|key| key.id().to_string());
        assert_eq!(development.ok(), Some(WatermarkKey::development().id().to_string()));
    }
}
