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
use csm_shared::watermark::{Detector, WatermarkError, WatermarkKeyArgs};

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
    #[arg(long = "drain-seconds", env = "CSM_DRAIN_SECONDS", default_value = "25", value_name = "SECONDS", value_parser = shutdown::grace)]
    pub drain: Duration,

    /// Former name of the setting above; it wins if it is set
    #[arg(long = "drain", env = "CSM_GATEWAY_DRAIN_SECONDS", hide = true, value_name = "SECONDS", value_parser = shutdown::grace)]
    pub former_drain: Option<Duration>,

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
    pub watermark: WatermarkKeyArgs,
}

impl GatewayArgs {
    /// Returns the time that requests in progress get to finish after SIGTERM.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.former_drain.unwrap_or(self.drain)
    }
}

/// Makes a detector for the marks of these keys; `None` without a current key. Without a detector
/// the gateway serves everything but `POST /v1/watermark/detect`.
///
/// # Errors
/// [`WatermarkError`] if a secret is no key, or if there are too many.
pub(crate) fn detector(keys: &WatermarkKeyArgs) -> Result<Option<Detector>, WatermarkError> {
    let Some(current) = keys.current()? else { return Ok(None) };
    Detector::with_keys(&[vec![current], keys.old()?].concat()).map(Some)
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
        assert_eq!(args.grace(), Duration::from_secs(25));
        assert!(!args.redirect_audio);
    }

    #[test]
    fn the_drain_has_the_worker_s_name_and_its_former_one() {
        let drain = |more: &[&str]| {
            let always = ["gateway", "--model", "a/b", "--store", "folder:/tmp/audio"];
            GatewayArgsCli::try_parse_from(always.iter().chain(more)).map(|cli| cli.gateway.grace().as_secs()).ok()
        };
        assert_eq!(drain(&["--drain-seconds", "7"]), Some(7));
        assert_eq!(drain(&["--drain", "8"]), Some(8));
        assert_eq!(drain(&["--drain-seconds", "soon"]), None);
    }

    #[test]
    fn there_is_a_detector_where_there_is_a_key() {
        let detector = |more: &[&str]| {
            let always = ["gateway", "--model", "a/b", "--store", "folder:/tmp/audio"];
            let parsed = GatewayArgsCli::try_parse_from(always.iter().chain(more)).map(|cli| cli.gateway.watermark);
            detector(&parsed.unwrap_or_else(|error| panic!("{error}")))
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
