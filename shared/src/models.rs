//! Resolution of a model's name to a local folder that the loaders can open.
//!
//! A name is a hub id, a folder, `tiny` or `noise`. Models of the hub are downloaded into the usual
//! Hugging Face cache, which other tools share. If the hub cannot be reached, the cached files are
//! used. Each downloaded file is compared with the digest that the hub states, and with that of its
//! [`Pin`]. [`weight_files`] alone decides which weight files of a folder its loaders must read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

mod checksum;
mod download_progress;
mod error;
mod fetch;
mod layout;
mod model_kind;
mod pins;
mod silentcipher_weights;
mod source;

pub use error::HubError;
pub use layout::weight_files;
pub use model_kind::{ModelKind, NOISE_ONLY};
pub use pins::{PINS, Pin};
pub use silentcipher_weights::{SILENTCIPHER, SILENTCIPHER_FOLDER, silentcipher};
pub use source::{HubId, InvalidSource, ModelSource};

use fetch::Hub;

/// Time without a byte after which a running download is given up.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Returns the repository of the codec for models that do not include one, such as the original CSM
/// release.
fn codec_id() -> HubId {
    HubId { owner: "kyutai".to_owned(), name: "mimi".to_owned(), revision: source::DEFAULT_REVISION.to_owned() }
}

/// Options for the model hub: how to reach it, and the folder of its files.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model hub")]
pub struct HubOptions {
    /// Folder of downloaded models; default: the one that Hugging Face tools use.
    #[arg(long = "hub-cache", env = "HF_HUB_CACHE", value_name = "HF_HUB_CACHE")]
    pub cache_dir: Option<PathBuf>,

    /// Token for gated models; default: the one that `hf auth login` saved.
    #[arg(long = "hub-token", env = "HF_TOKEN", value_name = "HF_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,

    /// Use only models that were downloaded before.
    #[arg(long = "offline", env = "HF_HUB_OFFLINE", value_parser = clap::builder::FalseyValueParser::new())]
    pub offline: bool,

    /// URL of another hub, such as a mirror.
    #[arg(id = "hub_endpoint", long = "hub-endpoint", env = "HF_ENDPOINT", value_name = "HF_ENDPOINT")]
    pub endpoint: Option<String>,

    /// Seconds to wait for the hub's first answer before the cache is used instead.
    #[arg(long = "hub-timeout", env = "CSM_HUB_TIMEOUT", value_name = "CSM_HUB_TIMEOUT", default_value = "10", value_parser = seconds)]
    pub contact_timeout: Duration,

    /// Time without a byte after which a running download is given up.
    #[arg(skip = STALL_LIMIT)]
    pub stall_timeout: Duration,

    /// Commits and digests of repositories that this project names itself.
    #[arg(skip = PINS)]
    pub pins: &'static [Pin],
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            token: None,
            offline: false,
            endpoint: None,
            contact_timeout: Duration::from_secs(10),
            stall_timeout: STALL_LIMIT,
            pins: PINS,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("CSM_HUB_TIMEOUT must be a whole number of seconds, 1 or more".to_owned()),
    }
}

/// Parts of a model that a process needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFiles {
    /// `config.json` and `tokenizer.json`: enough to check a prompt against the window.
    Tokenizer,
    /// The files of [`Self::Tokenizer`], the weights, and a codec.
    Everything,
}

/// A local folder that holds the needed files: `config.json` and `tokenizer.json`. With
/// [`ModelFiles::Everything`] it also holds the weights of [`weight_files`], and a codec among them
/// or in `mimi/model.safetensors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// Path of the folder.
    pub path: PathBuf,
    /// Name of the model in receipts and logs: the hub id without revision, or the last name of the
    /// folder. Receipts go to callers, so the name tells no path of this machine.
    pub id: String,
    /// Commit on the hub; `None` for a folder.
    pub revision: Option<String>,
}

/// Finds the model and downloads missing files.
///
/// The hub gets `contact_timeout` for its first answer; without an answer the cache is used. So
/// without network access this takes at most that long, and still succeeds if the cache holds the
/// model.
///
/// # Errors
/// [`HubError`]; its text says what to do.
pub async fn resolve(source: &ModelSource, needed: ModelFiles, options: &HubOptions) -> Result<ModelFolder, HubError> {
    let id = match source {
        ModelSource::Tiny => return Err(HubError::Tiny),
        ModelSource::Noise => return Err(HubError::Noise),
        ModelSource::Folder(path) => return open_folder(path, needed),
        ModelSource::Hub(id) => id,
    };
    let hub = Hub::new(options)?;
    fetched_or_cached(id, options, hub.fetch(id, needed), hub.cached(id, needed)).await
}

/// Waits for `fetched`. If the hub cannot be reached, or is not to be asked, `cached` is used.
async fn fetched_or_cached<T>(
    id: &HubId,
    options: &HubOptions,
    fetched: impl Future<Output = Result<T, HubError>>,
    cached: impl Future<Output = Result<T, HubError>>,
) -> Result<T, HubError> {
    if options.offline {
        return cached.await;
    }
    match fetched.await {
        Err(error) if error.is_unreachable() => {
            let Ok(found) = cached.await else { return Err(error) };
            tracing::warn!(model = %id, error = %error, "cannot reach hub, using cache");
            Ok(found)
        }
        done => done,
    }
}

fn open_folder(path: &Path, needed: ModelFiles) -> Result<ModelFolder, HubError> {
    if !path.is_dir() {
        return Err(HubError::NoFolder(path.to_owned()));
    }
    layout::require(path, needed)?;
    Ok(ModelFolder { path: path.to_owned(), id: last_name(path), revision: None })
}

/// Returns the last name of a folder, also for paths such as `.` that do not show it.
fn last_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let shown = path.file_name().or_else(|| whole.file_name());
    shown.map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct HubOptionsCli {
        #[command(flatten)]
        hub: HubOptions,
    }

    #[test]
    fn a_folder_goes_by_its_last_name() {
        let folder = tempfile::tempdir().unwrap();
        let tiny = folder.path().join("tiny");
        std::fs::create_dir(&tiny).unwrap();
        for path in [tiny.clone(), tiny.join(""), tiny.join("."), tiny.join("../tiny")] {
            assert_eq!(last_name(&path), "tiny", "{}", path.display());
        }
        assert_eq!(last_name(Path::new("/")), "model");
        assert_ne!(last_name(Path::new(".")), ".");
    }

    #[test]
    fn options_are_parsed_and_keep_the_token_to_themselves() {
        let args = ["x", "--offline", "--hub-timeout", "3", "--hub-token", "hf_secret", "--hub-cache", "/cache"];
        let cli = HubOptionsCli::try_parse_from(args).unwrap();
        assert!(cli.hub.offline);
        assert_eq!(cli.hub.contact_timeout, Duration::from_secs(3));
        assert_eq!(cli.hub.cache_dir.as_deref(), Some(Path::new("/cache")));
        assert!(!format!("{cli:?}").contains("hf_secret"));
        for bad in ["0", "soon", "-1"] {
            let error = HubOptionsCli::try_parse_from(["x", &format!("--hub-timeout={bad}")]).unwrap_err().to_string();
            assert!(error.contains("CSM_HUB_TIMEOUT"), "{error}");
        }
    }
}
