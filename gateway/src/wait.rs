//! From a request to finished audio, for callers who wait: submit, follow to the end, fetch.
//!
//! `/generate` and `/ws` use it.

use std::pin::pin;
use std::time::Duration;

use axum::body::Bytes;
use csm_queue::live::{Event, EventId};
use csm_shared::job::{JobId, Receipt};
use csm_shared::store::{ObjectKey, StoreError};
use futures::StreamExt as _;

use crate::app::App;
use crate::http::Problem;
use crate::submit::{JobRequest, submit};

/// Longest time that a caller is kept waiting for audio.
const WAIT_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Result of a job that succeeded while its caller waited.
pub(crate) struct FinishedAudio {
    /// Id of the job.
    pub(crate) job: JobId,
    /// Bytes of the file.
    pub(crate) audio: Bytes,
    /// Receipt of the job.
    pub(crate) receipt: Box<Receipt>,
}

/// Submits a job and returns its audio file. The job is cancelled if the future is dropped.
pub(crate) async fn wait_for_audio(app: &App, job_request: JobRequest) -> Result<FinishedAudio, Problem> {
    let cancel_on_drop = submit(app, job_request).await?.cancel_on_drop;
    let job = cancel_on_drop.id();
    let end = tokio::select! {
        end = end_of(app, job) => end?,
        () = tokio::time::sleep(WAIT_LIMIT) => return Err(Problem::took_too_long(job, WAIT_LIMIT)),
        () = app.late.cancelled() => return Err(Problem::draining()),
    };
    cancel_on_drop.disarm();
    match end {
        Event::Done { receipt } => Ok(FinishedAudio { job, audio: fetch(app, job, &receipt).await?, receipt }),
        Event::Error { state, failure } => Err(Problem::job_ended(job, state, failure)),
        other => Err(Problem::internal(format!("{} is no end of a job", other.name()))),
    }
}

/// Follows a job and returns its terminal event.
async fn end_of(app: &App, job: JobId) -> Result<Event, Problem> {
    let events = app.subscriptions.follow(app.patient_queue.for_accepted_job(), job, EventId::START).await?;
    let mut events = pin!(events.ok_or_else(|| Problem::no_job(&job.to_string()))?);
    while let Some(event) = events.next().await {
        let event = event?.event;
        if event.is_terminal() {
            return Ok(event);
        }
    }
    Err(Problem::internal(format!("the events of job {job} ended without an end")))
}

/// Reads the whole audio file of a receipt.
pub(crate) async fn fetch(app: &App, job: JobId, receipt: &Receipt) -> Result<Bytes, Problem> {
    app.store.get(&location(receipt)?).await.map_err(|error| missing_is_gone(job, error))
}

/// Returns the store key of a receipt's audio file.
pub(crate) fn location(receipt: &Receipt) -> Result<ObjectKey, Problem> {
    receipt.location.parse().map_err(Problem::internal)
}

/// Maps a failed read of a committed result. A file that is missing was removed from the store.
pub(crate) fn missing_is_gone(job: JobId, error: StoreError) -> Problem {
    match error {
        StoreError::NotFound(_) => Problem::audio_gone(job),
        other => other.into(),
    }
}
