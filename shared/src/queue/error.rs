//! What the queue answers when it cannot do what was asked.

use crate::job::{Lane, wire};
use crate::redis_client::RedisFault;

/// A transition that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Redis was unavailable or refused.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// The lane holds as many jobs as it may.
    #[error("lane {lane} holds {depth} jobs; the limit is {limit}")]
    Full {
        /// The lane.
        lane: Lane,
        /// Jobs waiting and running in it.
        depth: u64,
        /// Its limit.
        limit: u64,
    },
    /// A record that nobody could have written, or a newer version's.
    #[error("job record is unreadable: {0}")]
    Corrupt(String),
}

impl QueueError {
    /// True when the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Redis(fault) => fault.is_transient(),
            Self::Full { .. } => true,
            Self::Corrupt(_) => false,
        }
    }
}

impl From<wire::DecodeError> for QueueError {
    fn from(error: wire::DecodeError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<serde_json::Error> for QueueError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}
