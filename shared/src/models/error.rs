//! Why there is no model, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::HFError;

use super::source::HubId;

/// A model could not be made available. Each text says what to do; none holds a token.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `tiny` was asked of the hub.
    #[error(
        "the tiny model is made on this machine (`csm model make-tiny DIR`), no hub has it; give its folder instead"
    )]
    Tiny,
    /// The folder is not there.
    #[error("no model folder at {}", .0.display())]
    NoFolder(PathBuf),
    /// The folder lacks files.
    #[error("model folder {} lacks {}", .folder.display(), .files.join(", "))]
    MissingFiles {
        /// Where was looked.
        folder: PathBuf,
        /// The names, as they should be.
        files: Vec<String>,
    },
    /// A file cannot be read or is not what its name says.
    #[error("{}: {source}", .path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The model needs permission.
    #[error(
        "{0} needs permission: accept its licence at https://huggingface.co/{0}, then set HF_TOKEN to a token of that \
         account (https://huggingface.co/settings/tokens)"
    )]
    Gated(String),
    /// There is no such model, or not this revision or file of it.
    #[error("the hub has no {what} in {id}; check the id, or set HF_TOKEN if the repository is private")]
    NotFound {
        /// The id as given.
        id: String,
        /// What is missing.
        what: String,
    },
    /// Only the cache may be used, and it does not hold this model.
    #[error("{id} is not in {}, and the hub may not be asked; allow it (HF_HUB_OFFLINE=0) or fetch it with `hf download {id}`", .cache.display())]
    NotCached {
        /// The id as given.
        id: String,
        /// The cache folder.
        cache: PathBuf,
        /// What exactly is missing there.
        source: Box<HubError>,
    },
    /// No answer in time.
    #[error("{endpoint} was silent for {} s; check the network, or raise CSM_HUB_TIMEOUT", .waited.as_secs_f32())]
    Timeout {
        /// The hub's URL.
        endpoint: String,
        /// How long.
        waited: Duration,
    },
    /// The hub cannot be reached or has a fault.
    #[error("{endpoint} cannot be reached: {detail}; check the network, or set HF_ENDPOINT to a mirror")]
    Unreachable {
        /// The hub's URL.
        endpoint: String,
        /// The innermost cause.
        detail: String,
    },
    /// A downloaded file has the wrong length.
    #[error("{} has {actual} bytes where the hub promises {expected}; it was removed, try again", .path.display())]
    Incomplete {
        /// The file in the cache.
        path: PathBuf,
        /// Its length on the hub, in bytes.
        expected: u64,
        /// Its length here, in bytes.
        actual: u64,
    },
    /// Anything else the hub's client reports.
    #[error("the hub's client: {0}")]
    Client(#[from] HFError),
}

impl HubError {
    /// Whether the hub did not answer at all, so that a copy in the cache is as good as it gets.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// Puts the client's error into words, for the repository and endpoint it came from.
    pub(super) fn from_client(error: HFError, id: &HubId, endpoint: &str) -> Self {
        let not_found = |what: String| Self::NotFound { id: id.to_string(), what };
        match error {
            HFError::AuthRequired { .. } | HFError::Forbidden { .. } => Self::Gated(id.repo()),
            HFError::RepoNotFound { .. } => not_found("such repository".to_owned()),
            HFError::RevisionNotFound { revision, .. } => not_found(format!("revision {revision}")),
            HFError::EntryNotFound { path, .. } => not_found(path),
            HFError::Http { context } if context.status.as_u16() == 404 => not_found("such repository".to_owned()),
            HFError::Http { context } if matches!(context.status.as_u16(), 401 | 403) => Self::Gated(id.repo()),
            HFError::Http { context } if context.status.is_server_error() => {
                Self::Unreachable { endpoint: endpoint.to_owned(), detail: format!("HTTP {}", context.status) }
            }
            HFError::Request { source, .. } => {
                Self::Unreachable { endpoint: endpoint.to_owned(), detail: innermost(&source) }
            }
            HFError::RateLimited { .. } => {
                Self::Unreachable { endpoint: endpoint.to_owned(), detail: "too many requests".to_owned() }
            }
            other => Self::Client(other),
        }
    }
}

/// The last cause says most: "connection refused", "failed to lookup address".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
