//! Errors of model resolution; each text says what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::HFError;

use super::source::HubId;

/// Reason why a model is not available. Each text says what to do; none holds a token.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name `tiny`, which no hub has.
    #[error("the tiny model is part of `csm` (`csm model write-tiny DIR`), no hub has it; give its folder instead")]
    Tiny,
    /// The name `noise`, which no hub has.
    #[error(
        "the noise model is made on this machine (`csm model make-noise DIR`), no hub has it; give its folder instead"
    )]
    Noise,
    /// The folder does not exist.
    #[error("no model folder at {}", .0.display())]
    NoFolder(PathBuf),
    /// The folder lacks some files.
    #[error("model folder {} lacks {}", .folder.display(), .files.join(", "))]
    MissingFiles {
        /// Folder that was searched.
        folder: PathBuf,
        /// Names of the missing files.
        files: Vec<String>,
    },
    /// A file cannot be read, or its content does not match its name.
    #[error("{}: {source}", .path.display())]
    BadFile {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The model needs permission from its owner.
    #[error(
        "{0} needs permission: accept its licence at https://huggingface.co/{0}, then set HF_TOKEN to a token of that \
         account (https://huggingface.co/settings/tokens)"
    )]
    Gated(String),
    /// The hub has no such model, revision or file.
    #[error("the hub has no {what} in {id}; check the id, or set HF_TOKEN if the repository is private")]
    NotFound {
        /// Id of the model as given.
        id: String,
        /// Name of the missing part.
        what: String,
    },
    /// Only the cache may be used, and the cache lacks this model.
    #[error("{id} is not in {}, and the hub may not be asked; allow it (HF_HUB_OFFLINE=0) or fetch it with `hf download {id}`", .cache.display())]
    NotCached {
        /// Id of the model as given.
        id: String,
        /// Folder of the cache.
        cache: PathBuf,
        /// Error that names the missing files.
        source: Box<HubError>,
    },
    /// The hub did not answer in time.
    #[error("{endpoint} was silent for {} s; check the network, or raise CSM_HUB_TIMEOUT", .waited.as_secs_f32())]
    Timeout {
        /// URL of the hub.
        endpoint: String,
        /// Time waited.
        waited: Duration,
    },
    /// The hub cannot be reached, reports a server error, or refuses too many requests.
    #[error("{endpoint} cannot be reached: {detail}; check the network, or set HF_ENDPOINT to a mirror")]
    Unreachable {
        /// URL of the hub.
        endpoint: String,
        /// Innermost cause.
        detail: String,
    },
    /// A downloaded file has the wrong length.
    #[error("{} has {actual} bytes where the hub promises {expected}; it was removed, try again", .path.display())]
    Incomplete {
        /// Path of the file in the cache.
        path: PathBuf,
        /// Length of the file on the hub, in bytes.
        expected: u64,
        /// Length of the downloaded file, in bytes.
        actual: u64,
    },
    /// A downloaded file has the right length and another content.
    #[error("{} has the digest {actual} where {expected} is promised; it was removed, try again", .path.display())]
    WrongDigest {
        /// Path of the file in the cache.
        path: PathBuf,
        /// Digest that the hub or a pin states, in hex.
        expected: String,
        /// Digest of the downloaded file.
        actual: String,
    },
    /// The hub answered with another commit than the one that was asked for.
    #[error("the hub answers with commit {actual} where {id} asks for another; check HF_ENDPOINT")]
    WrongCommit {
        /// Id of the model with the commit that was asked for.
        id: String,
        /// Commit that the hub answered with.
        actual: String,
    },
    /// Any other error of the hub's client.
    #[error("the hub's client: {0}")]
    Client(#[from] HFError),
}

impl HubError {
    /// Returns true if the hub gave no useful answer: none, a server error, or too many requests. A
    /// cached copy is then the best available.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// Converts an error of the hub's client for the given repository and endpoint.
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

/// Returns the text of the innermost cause, such as "connection refused" or "failed to lookup
/// address", because it says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
