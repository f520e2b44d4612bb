//! JSON documents of the native face: a job as its callers see it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use csm_shared::job::{Failure, InputWarnings, JobId, JobRecord, JobState, Lane, Receipt};
use jiff::Timestamp;
use serde::Serialize;

/// Place of a job in its lane.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct QueuePlace {
    /// Jobs in front of the job, counted up to 1000.
    pub(crate) ahead: u64,
    /// Seconds of wait that were predicted when the job joined, if the fleet's speed was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait_s: Option<f64>,
    /// True if an operator held the lane back when the job joined. The wait is then unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) paused: bool,
}

/// Progress of a running job.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct JobProgress {
    /// Frames of 80 ms so far.
    pub(crate) frames: u32,
    /// Frame budget of the job.
    pub(crate) max_frames: u32,
}

/// Paths of a job's resources.
#[derive(Debug, Serialize)]
pub(crate) struct Links {
    #[serde(rename = "self")]
    this: String,
    events: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
}

impl Links {
    fn of(id: &JobId, has_audio: bool) -> Self {
        let this = job_path(id);
        Self { events: format!("{this}/events"), audio: has_audio.then(|| format!("{this}/audio")), this }
    }
}

/// Returns the path of a job.
pub(crate) fn job_path(id: &JobId) -> String {
    format!("/v1/jobs/{id}")
}

/// Answer to a request for a job: the new job, or the one that an earlier request made.
#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    id: String,
    status: JobState,
    lane: Lane,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueuePlace>,
    #[serde(skip_serializing_if = "InputWarnings::is_empty")]
    warnings: InputWarnings,
    links: Links,
}

impl Accepted {
    /// Makes the answer; the link to the audio is there only if the job has succeeded.
    pub(crate) fn new(id: &JobId, status: JobState, lane: Lane, seed: u64, queue: Option<QueuePlace>) -> Self {
        let links = Links::of(id, status == JobState::Succeeded);
        Self { id: id.to_string(), status, lane, seed, queue, warnings: InputWarnings::default(), links }
    }

    /// Adds warnings about the input of the request.
    pub(crate) fn with_warnings(self, warnings: InputWarnings) -> Self {
        Self { warnings, ..self }
    }
}

/// Record of a job.
#[derive(Debug, Serialize)]
pub(crate) struct JobDocument {
    id: String,
    status: JobState,
    lane: Lane,
    tenant: String,
    attempt: u64,
    /// Attempts that failed on a living worker.
    failures: u32,
    /// Attempts that ended because their worker was lost.
    crashes: u32,
    /// True if a worker was lost with this job and others; the job then runs alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suspect: bool,
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueuePlace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<JobProgress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    /// New job that an operator made of this one after its failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<String>,
    /// Warnings about the input of the request.
    #[serde(skip_serializing_if = "InputWarnings::is_empty")]
    warnings: InputWarnings,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    links: Links,
}

impl JobDocument {
    /// Makes the document of a record. The place is shown only while the job waits, the progress
    /// only while it runs.
    pub(crate) fn new(record: JobRecord, queue: Option<QueuePlace>, progress: Option<JobProgress>) -> Self {
        Self {
            id: record.id.to_string(),
            status: record.state,
            lane: record.lane,
            tenant: record.tenant.to_string(),
            attempt: record.attempt,
            failures: record.failures,
            crashes: record.crashes,
            suspect: record.suspect,
            cancel_requested: record.cancel_requested,
            queue: queue.filter(|_| record.state == JobState::Queued),
            progress: progress.filter(|_| record.state == JobState::Running),
            failure: record.failure.filter(|_| record.state != JobState::Succeeded),
            replayed_as: record.replayed_as.map(|id| id.to_string()),
            warnings: record.warnings,
            created_at: record.created,
            started_at: record.started,
            finished_at: record.finished,
            links: Links::of(&record.id, record.receipt.is_some()),
            receipt: record.receipt,
        }
    }
}

impl IntoResponse for JobDocument {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// Outcome of a cancel.
#[derive(Debug, Serialize)]
pub(crate) struct Cancelled {
    /// Id of the job.
    pub(crate) id: String,
    /// `cancelled`, or `cancelling` while the job's worker has not stopped yet.
    pub(crate) status: &'static str,
}
