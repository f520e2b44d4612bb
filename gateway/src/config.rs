//! Settings of the gateway: flags first, then `CSM_*` variables, then defaults.
//!
//! The settings are parsed once, before any socket opens.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use csm_queue::queue::{FleetIdentity, QueueArgs, TargetWaits};
use csm_queue::redis_client::RedisArgs;
use csm_shared::job::limits::ID_SECRET_BYTES;
use csm_shared::job::{IdSecret, Invalid};
use csm_shared::models::{HubOptions, ModelSource};
use csm_shared::process::shutdown;
use csm_shared::store::StoreArgs;
use csm_shared::watermark::{Detector, WatermarkError, WatermarkKeyArgs};
use secrecy::{ExposeSecret, SecretString};

use crate::admin_token::AdminTokenArgs;

/// Lines of one tenant's batches in the bulk lane, by default.
pub const BATCH_WINDOW: u32 = 512;

/// Settings of a gateway.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// Address of the public API
    #[arg(long, env = "CSM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Address of health, readiness and metrics; not for callers
    #[arg(long, env = "CSM_ADMIN_LISTEN", default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,

    /// Address of the Wyoming protocol for Home Assistant, such as 127.0.0.1:10200 [default: not served]
    #[arg(long, env = "CSM_WYOMING", value_name = "ADDRESS")]
    pub wyoming: Option<SocketAddr>,

    /// Address of KEDA's external scaler over gRPC, such as 0.0.0.0:9092 [default: not served]
    #[arg(long, env = "CSM_SCALER_LISTEN", value_name = "ADDRESS")]
    pub scaler_listen: Option<SocketAddr>,

    /// Model whose tokenizer measures prompts: a hub id or a folder, the same as the workers'
    #[arg(long, env = "CSM_MODEL", value_name = "ID|DIR")]
    pub model: ModelSource,

    /// Answer requests for audio with a redirect to the store, if it can sign URLs; false if callers
    /// cannot reach the store's endpoint
    #[arg(long, env = "CSM_REDIRECT_AUDIO", default_value = "true", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = FalseyValueParser::new())]
    pub redirect_audio: bool,

    /// Memory that the process may use, in MiB, at least 512; default: the limit of its container, or
    /// half of the machine's memory and at most 4096
    #[arg(long, env = "CSM_GATEWAY_MEMORY_MIB", value_name = "MIB", value_parser = clap::value_parser!(u64).range(512..=1_048_576))]
    pub memory: Option<u64>,

    /// Lines of one tenant's batches that wait and run in the bulk lane at a time
    #[arg(long, env = "CSM_BATCH_WINDOW", default_value_t = BATCH_WINDOW, value_name = "LINES",
        value_parser = clap::value_parser!(u32).range(8..=100_000))]
    pub batch_window: u32,

    /// Waits that the number of workers is chosen for.
    #[command(flatten)]
    pub target_wait: TargetWaitArgs,

    /// Seconds that requests in progress get to finish after SIGTERM
    #[arg(long = "drain-seconds", env = "CSM_DRAIN_SECONDS", default_value = "25", value_name = "SECONDS", value_parser = shutdown::grace)]
    pub drain: Duration,

    /// Former name of the setting above; it wins if it is set
    #[arg(long = "drain", env = "CSM_GATEWAY_DRAIN_SECONDS", hide = true, value_name = "SECONDS", value_parser = shutdown::grace)]
    pub former_drain: Option<Duration>,

    /// Host names that requests may come to, besides local names and the address itself, with
    /// commas in between; `*` is any name [default: any on a public address, none on a loopback
    /// address]
    #[arg(long, env = "CSM_ALLOWED_HOSTS", value_name = "NAMES", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,

    /// Origins of web pages that may use the gateway, such as `https://app.example`, besides its
    /// own, with commas in between; `*` is any origin
    #[arg(long, env = "CSM_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,

    /// Secret of the ids that idempotency keys name.
    #[command(flatten)]
    pub id_secret: IdSecretArgs,

    /// Token of operators.
    #[command(flatten)]
    pub admin_token: AdminTokenArgs,

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

/// Shortest and longest target wait, in seconds.
const TARGET_WAIT_SECONDS: std::ops::RangeInclusive<f64> = 0.01..=86_400.0;

/// Parses a target wait, in seconds.
fn target_wait(text: &str) -> Result<f64, String> {
    let (least, most) = (TARGET_WAIT_SECONDS.start(), TARGET_WAIT_SECONDS.end());
    let seconds = text.parse().ok().filter(|seconds| TARGET_WAIT_SECONDS.contains(seconds));
    seconds.ok_or_else(|| format!("{text:?} is no number of seconds from {least} to {most}"))
}

/// Waits that the number of workers is chosen for: the gateway tells autoscalers how many slots each
/// lane wants.
#[derive(Args, Clone, Copy, Debug)]
pub struct TargetWaitArgs {
    /// Seconds that a live job may wait in a fleet that is large enough
    #[arg(long, env = "CSM_LIVE_TARGET_WAIT_SECONDS", default_value_t = Self::default().live_target_wait_seconds, value_name = "SECONDS",
        value_parser = target_wait)]
    pub live_target_wait_seconds: f64,

    /// The same for a standard job
    #[arg(long, env = "CSM_STANDARD_TARGET_WAIT_SECONDS", default_value_t = Self::default().standard_target_wait_seconds, value_name = "SECONDS",
        value_parser = target_wait)]
    pub standard_target_wait_seconds: f64,

    /// The same for a bulk job
    #[arg(long, env = "CSM_BULK_TARGET_WAIT_SECONDS", default_value_t = Self::default().bulk_target_wait_seconds, value_name = "SECONDS",
        value_parser = target_wait)]
    pub bulk_target_wait_seconds: f64,
}

impl Default for TargetWaitArgs {
    fn default() -> Self {
        Self { live_target_wait_seconds: 2.0, standard_target_wait_seconds: 30.0, bulk_target_wait_seconds: 600.0 }
    }
}

impl From<TargetWaitArgs> for TargetWaits {
    fn from(args: TargetWaitArgs) -> Self {
        Self {
            live: Duration::from_secs_f64(args.live_target_wait_seconds),
            standard: Duration::from_secs_f64(args.standard_target_wait_seconds),
            bulk: Duration::from_secs_f64(args.bulk_target_wait_seconds),
        }
    }
}

/// Secret of the ids that idempotency keys name, the same in all gateways.
#[derive(Args, Clone, Debug, Default)]
pub struct IdSecretArgs {
    /// Secret from which idempotency keys become ids of jobs, 16 bytes or more; as a flag it shows
    /// in the list of processes [default: a random one that the gateways keep in Redis]
    #[arg(long, env = "CSM_ID_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub id_secret: Option<SecretString>,

    /// File with that secret
    #[arg(long, env = "CSM_ID_SECRET_FILE", value_name = "FILE")]
    pub id_secret_file: Option<PathBuf>,
}

/// Fault of the secret's settings.
#[derive(Debug, thiserror::Error)]
pub enum IdSecretError {
    /// Secret that is too short or too long.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Both settings at once.
    #[error("CSM_ID_SECRET and CSM_ID_SECRET_FILE are both set; set one of them")]
    Twice,
    /// File that cannot be read.
    #[error("CSM_ID_SECRET_FILE: {}: {source}", file.display())]
    File {
        /// Path of the file.
        file: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl IdSecretArgs {
    /// Returns the secret of the settings; `None` if the gateways keep one in Redis. An empty value
    /// counts as not set. Blanks around the text of a file are no part of the secret.
    ///
    /// # Errors
    /// [`IdSecretError`].
    pub fn get(&self) -> Result<Option<IdSecret>, IdSecretError> {
        let text = self.id_secret.as_ref().map(ExposeSecret::expose_secret).filter(|text| !text.is_empty());
        let file = self.id_secret_file.as_ref().filter(|file| !file.as_os_str().is_empty());
        match (text, file) {
            (Some(_), Some(_)) => Err(IdSecretError::Twice),
            (Some(text), None) => Ok(Some(IdSecret::new(text)?)),
            (None, Some(file)) => {
                let failed = |source| IdSecretError::File { file: file.clone(), source };
                let mut text = String::new();
                // Room for blanks; a longer file gives a secret that is refused for its length.
                let most = 2 * ID_SECRET_BYTES.max;
                File::open(file).and_then(|opened| opened.take(most).read_to_string(&mut text)).map_err(failed)?;
                Ok(Some(IdSecret::new(text.trim())?))
            }
            (None, None) => Ok(None),
        }
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

/// Returns the values on which this gateway must agree with its fleet.
///
/// # Errors
/// [`WatermarkError`] if a secret is no key.
pub(crate) fn identity(args: &GatewayArgs, window: usize) -> Result<FleetIdentity, WatermarkError> {
    // Former keys alone say nothing about the mark that the workers make.
    let current = args.watermark.current()?;
    let old = if current.is_some() { args.watermark.old()? } else { Vec::new() };
    let marks = current.iter().chain(&old).map(|key| key.id().to_string()).collect();
    Ok(FleetIdentity { model: args.model.name(), window, marks })
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
        assert!(args.redirect_audio);
    }

    #[test]
    fn the_id_secret_comes_from_one_place_and_is_not_shown() {
        let get = |more: &[&str]| {
            let always = ["gateway", "--model", "a/b", "--store", "folder:/tmp/audio"];
            let parsed = GatewayArgsCli::try_parse_from(always.iter().chain(more)).map(|cli| cli.gateway.id_secret);
            let args = parsed.unwrap_or_else(|error| panic!("{error}"));
            assert!(!format!("{args:?}").contains("sixteen"), "{args:?}");
            args.get().map(|secret| secret.map(|secret| secret.expose().to_owned())).map_err(|error| error.to_string())
        };
        let file = std::env::temp_dir().join(format!("csm-id-secret-{}", std::process::id()));
        std::fs::write(&file, "  sixteen bytes of file\n").unwrap_or_else(|error| panic!("{error}"));
        let path = file.to_str().unwrap_or_default();
        assert_eq!(get(&[]), Ok(None));
        assert_eq!(get(&["--id-secret", ""]), Ok(None));
        assert_eq!(get(&["--id-secret", "sixteen bytes or so"]), Ok(Some("sixteen bytes or so".to_owned())));
        assert_eq!(get(&["--id-secret-file", path]), Ok(Some("sixteen bytes of file".to_owned())));
        let short = get(&["--id-secret", "short"]).expect_err("too short");
        assert!(
            short.contains("CSM_ID_SECRET") && short.contains("16 to 1024 bytes") && !short.contains("short"),
            "{short}"
        );
        assert!(
            get(&["--id-secret", "sixteen bytes or so", "--id-secret-file", path])
                .is_err_and(|why| why.contains("both"))
        );
        assert!(get(&["--id-secret-file", "/nowhere"]).is_err_and(|why| why.contains("/nowhere")));
        std::fs::write(&file, "x".repeat(5_000)).unwrap_or_else(|error| panic!("{error}"));
        assert!(get(&["--id-secret-file", path]).is_err());
        std::fs::remove_file(&file).unwrap_or_else(|error| panic!("{error}"));
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
