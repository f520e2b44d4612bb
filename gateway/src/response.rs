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
}

/// How far a running job is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Progress {
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

/// A job just accepted.
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
    pub(crate) fn new(id: &JobId, lane: Lane, seed: u64, queue: Option<QueuePlace>) -> Self {
        Self { id: id.to_string(), status: JobState::Queued, lane, seed, queue, links: Links::of(id, false) }
    }
}

/// A job's record.
#[derive(Debug, Serialize)]
pub(crate) struct JobDocument {
    id: String,
    status: JobState,
    lane: Lane,
    attempt: u64,
    /// Attempts that failed by themselves.
    failures: u32,
    /// Attempts that ended with their worker.
    crashes: u32,
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueuePlace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    links: Links,
}

impl JobDocument {
    /// The document of a record. A place is shown only while the job waits, progress only while it runs.
    pub(crate) fn new(record: JobRecord, queue: Option<QueuePlace>, progress: Option<Progress>) -> Self {
        Self {
            id: record.id.to_string(),
            status: record.state,
            lane: record.lane,
            attempt: record.attempt,
            failures: record.failures,
            crashes: record.crashes,
            cancel_requested: record.cancel_requested,
            queue: queue.filter(|_| record.state == JobState::Queued),
            progress: progress.filter(|_| record.state == JobState::Running),
            failure: record.failure.filter(|_| record.state != JobState::Succeeded),
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
