//! A job as the queue knows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JobId, JobState, Lane, Receipt, Tenant};

/// What kind of failure it was, which decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The request cannot be spoken; never retried.
    Invalid,
    /// Store or network; retried with backoff.
    Transient,
    /// The device or the model failed; retried, best on another worker.
    Resource,
    /// The worker process vanished.
    WorkerLost,
    /// It could not be done by the caller's deadline; not retried.
    Deadline,
}

/// Why an attempt, or the job, failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class:?}: {message}")]
pub struct Failure {
    /// What kind it was.
    pub class: FailureClass,
    /// What happened, safe to show to the caller.
    pub message: String,
}

impl Failure {
    /// A failure of the given class.
    #[must_use]
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// A job's public record: everything but its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecord {
    /// The job.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// How urgent it is.
    pub lane: Lane,
    /// Claims so far; fences every write of a worker.
    pub attempt: u64,
    /// Attempts that failed by themselves.
    pub failures: u32,
    /// Attempts that ended with their worker while nothing ran beside them.
    pub crashes: u32,
    /// True once a worker died with this job: since then it runs with nothing beside it.
    pub suspect: bool,
    /// Whose job it is.
    pub tenant: Tenant,
    /// The worker that holds the lease, or held it when the job ended.
    pub worker: Option<String>,
    /// True once a cancel was asked for.
    pub cancel_requested: bool,
    /// The frame budget.
    pub max_frames: u32,
    /// When it was accepted.
    pub created: Timestamp,
    /// When the last attempt was claimed.
    pub started: Option<Timestamp>,
    /// When it reached its final state.
    pub finished: Option<Timestamp>,
    /// The account of the committed result.
    pub receipt: Option<Receipt>,
    /// Why the job failed, or why its last attempt did.
    pub failure: Option<Failure>,
    /// The job that a failed one was made into again.
    pub replayed_as: Option<JobId>,
}
