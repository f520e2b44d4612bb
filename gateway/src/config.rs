//! Settings of the gateway: flags first, then `CSM_*` variables, then defaults.
//!
//! The settings are parsed once, before any socket opens.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use csm_queue::queue::QueueArgs;
use csm_queue::redis_client::RedisArgs;
use csm_shared::models::{HubOptions, ModelSource};
use csm_shared::process::shutdown;
use csm_shared::store::StoreArgs;
use csm_shared::watermark::{Detector, WatermarkError, WatermarkKey};
use secrecy::{ExposeSecret as _, SecretString};

/// Settings of a gateway.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// Address of the public API
    #[arg(long, env = "CSM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Address of health, readiness and metrics; not for callers
    #[arg(long, env = "CSM_ADMIN_LISTEN", default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,

    /// Model whose tokenizer measures prompts: a hub id or a folder, the same as the workers'
    #[arg(long, env = "CSM_MODEL", value_name = "ID|DIR")]
    pub model: ModelSource,

    /// Answer requests for audio with a redirect to the store, where it can sign URLs
    #[arg(long, env = "CSM_REDIRECT_AUDIO", value_parser = clap::builder::FalseyValueParser::new())]
    pub redirect_audio: bool,

    /// Seconds that requests in progress get to finish after SIGTERM
    #[arg(long, env = "CSM_GATEWAY_DRAIN_SECONDS", default_value = "25", value_name = "SECONDS", value_parser = shutdown::grace)]
    pub drain: Duration,

    /// Address of Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// Shards and limits of the queue.
    #[command(flatten)]
    pub queue: QueueArgs,

    /// Store of finished audio.
    #[command(flatten)]
    pub store: StoreArgs,

    /// Access to the model hub.
    #[command(flatten)]
    pub hub: HubOptions,

    /// Keys of the marks that are looked for.
    #[command(flatten)]
    pub watermark: DetectionKeyArgs,
}

/// Keys of the marks that `POST /v1/watermark/detect` looks for. Without a key the gateway serves
/// everything else.
#[derive(Args, Clone, Debug, Default)]
pub struct DetectionKeyArgs {
    /// Secret of the watermark, the same as the workers'; without it no recording is looked at
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    pub watermark_key: Option<SecretString>,

    /// Without a secret, look for the mark of the published development key
    #[arg(long, env = "CSM_DEVELOPMENT_WATERMARK", value_parser = clap::builder::FalseyValueParser::new())]
    pub development_watermark: bool,

    /// Secrets of before whose marks are still to be found: one a line, or with commas in between
    #[arg(long, env = "CSM_WATERMARK_OLD_KEYS", hide_env_values = true, value_name = "SECRETS")]
    pub watermark_old_keys: Option<SecretString>,
}

impl DetectionKeyArgs {
    /// Makes a detector for the marks of these keys; `None` without a current key. A variable that
    /// is set to nothing counts as not set.
    ///
    /// # Errors
    /// [`WatermarkError`] if a secret is no key, or if there are too many.
    pub(crate) fn detector(&self) -> Result<Option<Detector>, WatermarkError> {
        let mut keys = match &self.watermark_key {
            Some(secret) if !secret.expose_secret().is_empty() => vec![WatermarkKey::parse(secret.expose_secret())?],
            _ if self.development_watermark => vec![WatermarkKey::development()],
            _ => return Ok(None),
        };
        if let Some(secrets) = &self.watermark_old_keys {
            keys.append(&mut WatermarkKey::parse_ring(secrets.expose_secret())?);
        }
        Detector::with_keys(&keys).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct GatewayArgsCli {
        #[command(flatten)]
        gateway: GatewayArgs,
    }

    #[test]
    fn settings_do_not_collide_and_have_usable_defaults() {
        GatewayArgsCli::command().debug_assert();
        let parsed = GatewayArgsCli::try_parse_from(["gateway", "--model", "a/b", "--store", "folder:/tmp/audio"])
            .map(|cli| cli.gateway);
        let args = parsed.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(args.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(args.admin_listen.to_string(), "127.0.0.1:9090");
        assert_eq!(args.drain, Duration::from_secs(25));
        assert!(!args.redirect_audio);
    }

    #[test]
    fn there_is_a_detector_where_there_is_a_key() {
        let detector = |more: &[&str]| {
            let always = ["gateway", "--model", "a/b", "--store", "folder:/tmp/audio"];
            let parsed = GatewayArgsCli::try_parse_from(always.iter().chain(more)).map(|cli| cli.gateway.watermark);
            parsed.unwrap_or_else(|error| panic!("{error}")).detector()
        };
        let old = ["--watermark-old-keys", "a secret of last year, another of the year before"];
        assert!(detector(&[]).is_ok_and(|detector| detector.is_none()));
        assert!(detector(&["--watermark-key", ""]).is_ok_and(|detector| detector.is_none()));
        assert!(detector(&old).is_ok_and(|detector| detector.is_none()));
        assert!(detector(&["--development-watermark", old[0], old[1]]).is_ok_and(|detector| detector.is_some()));
        assert!(detector(&["--watermark-key", "a secret of this very year"]).is_ok_and(|detector| detector.is_some()));
        assert!(detector(&["--watermark-key", "short"]).is_err());
        assert!(detector(&["--development-watermark", old[0], "short"]).is_err());
    }
}
