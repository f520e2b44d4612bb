//! From a request to the end of its job, for callers who wait: submit, then follow to the end.
//!
//! `/generate` and `/ws` use it.

use std::pin::pin;
use std::time::Duration;

use csm_queue::live::{Event, EventId};
use csm_shared::job::{JobId, Receipt};
use futures::StreamExt as _;

use crate::app::App;
use crate::http::Problem;
use crate::submit::{CheckedRequest, submit};

/// Longest time that a caller is kept waiting for audio.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Job that succeeded while its caller waited.
pub(crate) struct FinishedJob {
    /// Id of the job.
    pub(crate) job: JobId,
    /// Receipt of the job.
    pub(crate) receipt: Box<Receipt>,
}

/// Submits a job and waits for its end. The job is cancelled if the future is dropped.
pub(crate) async fn submit_and_wait(app: &App, checked: CheckedRequest) -> Result<FinishedJob, Problem> {
    let cancel_on_drop = submit(app, checked).await?.cancel_on_drop;
    let job = cancel_on_drop.id();
    let end = tokio::select! {
        end = end_of(app, job) => end?,
        () = tokio::time::sleep(WAIT_LIMIT) => return Err(Problem::took_too_long(job, WAIT_LIMIT)),
        () = app.late.cancelled() => return Err(Problem::draining()),
    };
    cancel_on_drop.disarm();
    match end {
        Event::Done { receipt } => Ok(FinishedJob { job, receipt }),
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
