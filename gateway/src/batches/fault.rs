//! Fault that interrupts the work on a batch. The next lease on the batch goes on from what is
//! written.

use csm_queue::queue::QueueError;
use csm_queue::redis_client::RedisFault;
use csm_shared::store::{InvalidObjectKey, StoreError};

use crate::resources::NoMemory;

/// Reason why the work on a batch was interrupted.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedFault {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] InvalidObjectKey),
    #[error(transparent)]
    Memory(#[from] NoMemory),
    /// Another gateway has the lease.
    #[error("the lease was lost")]
    LeaseLost,
    /// The gateway shuts down.
    #[error("the gateway shuts down")]
    Stopped,
    /// Lines in the store that are not those of the record.
    #[error("the lines are damaged: {0}")]
    Damaged(String),
}

impl From<RedisFault> for FeedFault {
    fn from(fault: RedisFault) -> Self {
        Self::Queue(fault.into())
    }
}

impl From<serde_json::Error> for FeedFault {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}
