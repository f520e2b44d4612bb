//! From the name of a model to a local folder that the loaders can open.
//!
//! A name is a hub id, a folder, or `tiny`. Ids are fetched into the usual Hugging Face cache, which other tools share;
//! what is there already is used when the hub cannot be reached. Which weight files a folder's loaders must read is
//! decided in one place, [`weight_files`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

mod download_progress;
mod error;
mod fetch;
mod layout;
mod silentcipher_weights;
mod source;

pub use error::HubError;
pub use layout::weight_files;
pub use silentcipher_weights::{SILENTCIPHER, SILENTCIPHER_FOLDER, silentcipher};
pub use source::{HubId, InvalidSource, ModelSource};

use fetch::Hub;

/// Silence after which a running download is given up.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Where the codec comes from when a checkpoint does not include it, as the original CSM release does not.
fn codec_id() -> HubId {
    HubId { owner: "kyutai".to_owned(), name: "mimi".to_owned(), revision: "main".to_owned() }
}

/// How to reach the hub, and where its files are kept.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model hub")]
pub struct HubOptions {
    /// Folder of downloaded models; else the one that Hugging Face tools use.
    #[arg(long = "hub-cache", env = "HF_HUB_CACHE", value_name = "HF_HUB_CACHE")]
    pub cache_dir: Option<PathBuf>,

    /// Token for gated models; else the one that `hf auth login` saved.
    #[arg(long = "hub-token", env = "HF_TOKEN", value_name = "HF_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,

    /// Use only what was downloaded before.
    #[arg(long = "offline", env = "HF_HUB_OFFLINE", value_parser = clap::builder::FalseyValueParser::new())]
    pub offline: bool,

    /// URL of another hub, a mirror.
    #[arg(id = "hub_endpoint", long = "hub-endpoint", env = "HF_ENDPOINT", value_name = "HF_ENDPOINT")]
    pub endpoint: Option<String>,

    /// Seconds to wait for the hub's first answer before the cache is used instead.
    #[arg(long = "hub-timeout", env = "CSM_HUB_TIMEOUT", value_name = "CSM_HUB_TIMEOUT", default_value = "10", value_parser = seconds)]
    pub contact_timeout: Duration,

    /// Silence after which a running download is given up.
    #[arg(skip = STALL_LIMIT)]
    pub stall_timeout: Duration,
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
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("CSM_HUB_TIMEOUT must be a whole number of seconds, 1 or more".to_owned()),
    }
}

/// How much of a model is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFiles {
    /// `config.json` and `tokenizer.json`: enough to check a prompt against the window.
    Tokenizer,
    /// Those, the weights, and a codec.
    Everything,
}

/// A local folder that holds what was needed: `config.json`, `tokenizer.json`, and with [`ModelFiles::Everything`] the
/// weights of [`weight_files`], with the codec among them or in `mimi/model.safetensors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// What to call the model in receipts and logs: the hub id without revision, or the folder as given.
    pub id: String,
    /// The hub's commit; `None` for a folder.
    pub revision: Option<String>,
}

/// Finds the model, downloading what is missing.
///
/// The hub gets `contact_timeout` for its first answer; without one the cache must do. So on a closed network this
/// takes at most that long, and with the model in the cache it succeeds all the same.
///
/// # Errors
/// [`HubError`], whose text says what to do.
pub async fn resolve(source: &ModelSource, needed: ModelFiles, options: &HubOptions) -> Result<ModelFolder, HubError> {
    let id = match source {
        ModelSource::Tiny => return Err(HubError::Tiny),
        ModelSource::Folder(path) => return open_folder(path, needed),
        ModelSource::Hub(id) => id,
    };
    let hub = Hub::new(options)?;
    if options.offline {
        return hub.cached(id, needed).await;
    }
    match hub.fetch(id, needed).await {
        Err(error) if error.is_unreachable() => match hub.cached(id, needed).await {
            Ok(model) => {
                tracing::warn!(model = %id, error = %error, "cannot reach hub, using cached model");
                Ok(model)
            }
            Err(_) => Err(error),
        },
        done => done,
    }
}

fn open_folder(path: &Path, needed: ModelFiles) -> Result<ModelFolder, HubError> {
    if !path.is_dir() {
        return Err(HubError::NoFolder(path.to_owned()));
    }
    layout::require(path, needed)?;
    Ok(ModelFolder { path: path.to_owned(), id: path.display().to_string(), revision: None })
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
