//! The documents that callers get: what a job looks like from outside.

use axum::Json;
use axum::response::{IntoResponse, Response};
use csm_shared::job::{Failure, JobId, JobRecord, JobState, Lane, Receipt};
use jiff::Timestamp;
use serde::Serialize;

/// A job's place in its lane.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct QueuePlace {
    /// Jobs that it waits behind, counted up to a thousand.
    pub(crate) ahead: u64,
    /// Seconds that it was expected to wait when it joined, where the fleet's rate was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait_s: Option<f64>,
}

/// How far a running job is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct JobProgress {
    /// Frames of 80 ms so far.
    pub(crate) frames: u32,
    /// The frame budget.
    pub(crate) max_frames: u32,
}

/// Where to go from here.
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

/// The path of a job.
pub(crate) fn job_path(id: &JobId) -> String {
    format!("/v1/jobs/{id}")
}

/// A job just accepted, or found to have been by a request that was repeated.
#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    id: String,
    status: JobState,
    lane: Lane,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueuePlace>,
    links: Links,
}

impl Accepted {
    pub(crate) fn new(id: &JobId, status: JobState, lane: Lane, seed: u64, queue: Option<QueuePlace>) -> Self {
        let links = Links::of(id, status == JobState::Succeeded);
        Self { id: id.to_string(), status, lane, seed, queue, links }
    }
}

/// A job's record.
#[derive(Debug, Serialize)]
pub(crate) struct JobDocument {
    id: String,
    status: JobState,
    lane: Lane,
    tenant: String,
    attempt: u64,
    /// Attempts that failed by themselves.
    failures: u32,
    /// Attempts that ended with their worker.
    crashes: u32,
    /// A worker died with it beside others: it runs with nothing beside it.
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
    /// The job that an operator made of this one after it had failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    links: Links,
}

impl JobDocument {
    /// The document of a record. A place is shown only while the job waits, progress only while it runs.
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

/// What a cancel led to.
#[derive(Debug, Serialize)]
pub(crate) struct Cancelled {
    /// The job.
    pub(crate) id: String,
    /// `cancelled`, or `cancelling` while its worker still has to hear of it.
    pub(crate) status: &'static str,
}

/// The answer of `/generate`, exactly as the integration that it replaces gave it.
#[derive(Debug, Serialize)]
pub(crate) struct Generated {
    /// base64 of a WAV file.
    pub(crate) audio: String,
    /// Always `wav`.
    pub(crate) format: &'static str,
    /// In Hz.
    pub(crate) sample_rate: u32,
}
