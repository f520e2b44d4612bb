//! Terms on which a job joins the queue: its tenant, how long it may wait, how safely it is kept.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use csm_shared::job::{InputWarnings, JobId, Tenant};

/// Crash that an accepted job survives from the moment the caller is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Crash that Redis is configured for: of its machine with `appendfsync always`, else of its
    /// process.
    #[default]
    Default,
    /// Crash of the machine: the write is on the server's disk, by `WAITAOF` or `appendfsync
    /// always`.
    Fsync,
}

/// Request of a job to join the queue.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Id of the job. Two tickets of one id are one job.
    pub id: JobId,
    /// Tenant of the job.
    pub tenant: Tenant,
    /// Digest of the request; a second request of the same id must have the same. Empty if the
    /// request is never repeated.
    pub fingerprint: String,
    /// Longest wait in the queue.
    pub expires_in: Option<Duration>,
    /// Time after which the result is of no use.
    pub deadline: Option<Timestamp>,
    /// Crash that the job survives once it counts as accepted.
    pub durability: Durability,
    /// Warnings about the input of the request, which the job's record repeats.
    pub warnings: InputWarnings,
}

impl Ticket {
    /// Creates a ticket without conditions.
    #[must_use]
    pub fn new(id: JobId) -> Self {
        Self {
            id,
            tenant: Tenant::default(),
            fingerprint: String::new(),
            expires_in: None,
            deadline: None,
            durability: Durability::Default,
            warnings: InputWarnings::default(),
        }
    }
}
