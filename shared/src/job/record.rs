//! The queue's record of a job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{InputWarnings, JobId, JobState, Lane, Receipt, Tenant};

/// Kind of a failure, which decides whether the job is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The request cannot be synthesised; never retried.
    Invalid,
    /// The store or the network failed; retried with backoff.
    Transient,
    /// The device or the model failed; retried, preferably on another worker.
    Resource,
    /// The worker process vanished.
    WorkerLost,
    /// The job could not be finished by the caller's deadline; not retried.
    Deadline,
}

/// Failure of an attempt or of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class:?}: {message}")]
pub struct Failure {
    /// Kind of the failure.
    pub class: FailureClass,
    /// Description that is safe to show to the caller.
    pub message: String,
}

impl Failure {
    /// Makes a failure of the given class.
    #[must_use]
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// The public record of a job: everything but its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecord {
    /// Id of the job.
    pub id: JobId,
    /// State of the job.
    pub state: JobState,
    /// Lane of the job.
    pub lane: Lane,
    /// Number of claims so far; fences every write of a worker.
    pub attempt: u64,
    /// Attempts that failed while their worker survived.
    pub failures: u32,
    /// Attempts whose worker died while it ran no other job.
    pub crashes: u32,
    /// True after a worker died with this job. From then on the job runs alone on its worker.
    pub suspect: bool,
    /// Tenant that owns the job.
    pub tenant: Tenant,
    /// Worker that holds the lease, or held it when the job ended.
    pub worker: Option<String>,
    /// True after a cancel request.
    pub cancel_requested: bool,
    /// The frame budget.
    pub max_frames: u32,
    /// Time of acceptance.
    pub created: Timestamp,
    /// Time of the last claim.
    pub started: Option<Timestamp>,
    /// Time at which the job reached its final state.
    pub finished: Option<Timestamp>,
    /// Receipt of the committed result.
    pub receipt: Option<Receipt>,
    /// Failure of the job, or of its last attempt.
    pub failure: Option<Failure>,
    /// Id of the new job if this failed job was replayed.
    pub replayed_as: Option<JobId>,
    /// Warnings about the input of the job's request.
    pub warnings: InputWarnings,
}
