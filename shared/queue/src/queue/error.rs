//! Errors of the queue.

use std::time::Duration;

use super::fleet::FleetMismatch;
use crate::redis_client::RedisFault;
use csm_shared::job::{JobId, Lane, Tenant, wire};

/// Reason why a transition did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// Redis was unavailable or refused.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// The lane holds as many jobs as it may.
    #[error("lane {lane} holds {depth} jobs; the limit is {limit}")]
    Full {
        /// The lane.
        lane: Lane,
        /// Jobs waiting and running in the lane.
        depth: u64,
        /// Limit of the lane.
        limit: u64,
    },
    /// A tenant holds as many jobs as it may.
    #[error("tenant {tenant} holds {open} jobs; the limit is {limit}")]
    TenantFull {
        /// The tenant.
        tenant: Tenant,
        /// Jobs of the tenant, waiting and running, on the job's shard.
        open: u64,
        /// Limit of the tenant on the job's shard.
        limit: u64,
    },
    /// The requests of a lane take as many bytes of Redis as they may.
    #[error("the requests of lane {lane} take {bytes} bytes; the limit is {limit}")]
    LaneBytesFull {
        /// The lane.
        lane: Lane,
        /// Bytes of the requests of waiting and running jobs, on the job's shard.
        bytes: u64,
        /// Limit of the lane on the job's shard.
        limit: u64,
    },
    /// The requests of a tenant take as many bytes of Redis as they may.
    #[error("the requests of tenant {tenant} take {bytes} bytes; the limit is {limit}")]
    TenantBytesFull {
        /// The tenant.
        tenant: Tenant,
        /// Bytes of the requests of waiting and running jobs, on the job's shard.
        bytes: u64,
        /// Limit of the tenant on the job's shard.
        limit: u64,
    },
    /// A tenant creates and cancels jobs more often than it may.
    #[error("tenant {tenant} creates and cancels more than {limit} jobs a minute")]
    TenantRate {
        /// The tenant.
        tenant: Tenant,
        /// Jobs that the tenant may create and cancel in a minute.
        limit: u64,
        /// Time until the tenant may create the next job.
        pause: Duration,
    },
    /// The job could not begin in time.
    #[error("the wait in lane {lane} would be about {} s; the limit is {} s", wait.as_secs(), limit.as_secs())]
    Busy {
        /// The lane.
        lane: Lane,
        /// Predicted wait.
        wait: Duration,
        /// Longest wait that the lane, or the caller, allows.
        limit: Duration,
    },
    /// The job could not begin by the caller's deadline, and a later try would do no better.
    #[error("the wait in lane {lane} would be about {} s, beyond the deadline", wait.as_secs())]
    TooLate {
        /// The lane.
        lane: Lane,
        /// Predicted wait.
        wait: Duration,
    },
    /// A job of this id exists, made by another request.
    #[error("job {0} was made by another request")]
    Conflict(JobId),
    /// The process is set up differently from its fleet.
    #[error(transparent)]
    OtherFleet(#[from] FleetMismatch),
    /// An operator has closed the intake of the queue.
    #[error("the queue takes no new jobs")]
    Closed,
    /// The events of an ended job cannot be read from the store.
    #[error("the archived events cannot be read: {0}")]
    Archive(String),
    /// The record of a job is damaged, or was written by a newer version.
    #[error("record of job {id} is unreadable: {why}")]
    Unreadable {
        /// The job.
        id: JobId,
        /// Field that cannot be read.
        why: String,
    },
    /// Redis answered what no script of this version answers.
    #[error("job record is unreadable: {0}")]
    Corrupt(String),
}

impl QueueError {
    /// Returns true if the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Redis(fault) => fault.is_transient(),
            Self::Full { .. }
            | Self::TenantFull { .. }
            | Self::TenantRate { .. }
            | Self::LaneBytesFull { .. }
            | Self::TenantBytesFull { .. }
            | Self::Busy { .. }
            | Self::Closed
            | Self::Archive(_)
            | Self::OtherFleet(_) => true,
            Self::TooLate { .. } | Self::Conflict(_) | Self::Unreadable { .. } | Self::Corrupt(_) => false,
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
