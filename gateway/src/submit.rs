//! A valid request into the queue, and the cancellation of a job when its caller leaves: a job whose caller leaves before the answer is
//! called off.

use std::time::Duration;

use csm_queue::queue::{Cancel, Enqueue, Queue, QueueError, Ticket};
use csm_shared::job::{Invalid, JobId, JobState, Reason};
use csm_shared::process::telemetry::JOBS_ACCEPTED_TOTAL;
use jiff::Timestamp;
use tracing::Instrument as _;

use crate::app::App;
use crate::problem::Problem;
use crate::request::{self, ApiStyle, Caller, JobRequest};

/// A job in the queue.
pub(crate) struct Submitted {
    /// What ends the job if the caller leaves. Nothing does for a job that the caller may ask for again.
    pub(crate) cancel_on_drop: CancelOnDrop,
    /// Where it stands.
    pub(crate) state: JobState,
    /// Predicted wait, where known.
    pub(crate) wait: Option<Duration>,
    /// The same request came before, and this is its job.
    pub(crate) repeated: bool,
}

/// A job that ends with its caller: dropped before [`CancelOnDrop::disarm`], it is cancelled.
pub(crate) struct CancelOnDrop {
    app: App,
    id: JobId,
    armed: bool,
}

impl CancelOnDrop {
    /// The job.
    pub(crate) const fn id(&self) -> JobId {
        self.id
    }

    /// The job goes on, or has ended, without its caller.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (app, id) = (self.app.clone(), self.id);
        self.app.tasks.spawn(async move {
            match cancel(&app, &app.patient_queue, id).await {
                Ok(outcome) => tracing::info!(job = %id, ?outcome, "cancelled job of caller that left"),
                Err(error) => tracing::warn!(job = %id, error = %error, "cannot cancel job of caller that left"),
            }
        });
    }
}

/// Reads and measures a request off the async threads: a large one keeps a core busy for a while.
pub(crate) async fn parse_and_check(
    app: &App,
    body: axum::body::Bytes,
    style: ApiStyle,
    caller: Caller,
) -> Result<JobRequest, Problem> {
    let app = app.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let job_request = request::read(&body, style, caller)?;
        app.window_check.check(&job_request.spec).map(|()| job_request)
    });
    Ok(checked.await.map_err(Problem::internal)??)
}

/// Enqueues a job.
///
/// It runs in a task of its own, which ends whatever the caller does: were it dropped half way, the job might be accepted
/// after its cancellation. If the caller is gone by then, the guard is dropped with the task's result.
pub(crate) async fn submit(app: &App, job_request: JobRequest) -> Result<Submitted, Problem> {
    refuse_late(app, &job_request).await?;
    let lane = job_request.spec.lane;
    let cancel_on_drop = CancelOnDrop { app: app.clone(), id: job_request.ticket.id, armed: !job_request.repeats };
    let enqueue = async move {
        match cancel_on_drop.app.queue.enqueue(&job_request.ticket, &job_request.spec).await {
            Ok(Enqueue::Accepted { wait }) => {
                Ok(Submitted { cancel_on_drop, state: JobState::Queued, wait, repeated: false })
            }
            // Without a name from the caller it can only be the same call, whose first answer was lost.
            Ok(Enqueue::Exists(state)) => {
                Ok(Submitted { cancel_on_drop, state, wait: None, repeated: job_request.repeats })
            }
            // The answer may have been lost, not the job; dropping the guard cancels it.
            Err(error @ QueueError::Redis(_)) => Err(error),
            Err(error) => {
                cancel_on_drop.disarm();
                Err(error)
            }
        }
    };
    let submitted = app.tasks.spawn(enqueue.in_current_span()).await.map_err(Problem::internal)??;
    if submitted.repeated {
        tracing::info!(job = %submitted.cancel_on_drop.id, state = %submitted.state, "repeated request for job");
    } else {
        metrics::counter!(JOBS_ACCEPTED_TOTAL, "lane" => lane.name()).increment(1);
        tracing::info!(job = %submitted.cancel_on_drop.id, lane = lane.name(), "accepted job");
    }
    Ok(submitted)
}

/// Refuses a job whose deadline is over, unless the job is there already: whoever repeats a request is told of its job,
/// however late.
async fn refuse_late(app: &App, job_request: &JobRequest) -> Result<(), Problem> {
    let Ticket { id, deadline: Some(deadline), .. } = &job_request.ticket else { return Ok(()) };
    let now = Timestamp::now();
    if *deadline > now || (job_request.repeats && app.queue.record(id).await?.is_some()) {
        return Ok(());
    }
    let (reason, status) = (Reason::OutOfRange, 422);
    Err(Invalid {
        field: "deadline".into(),
        value: deadline.to_string(),
        limit: format!("later than {now}"),
        reason,
        status,
    }
    .into())
}

/// Calls a job off, and tells its followers if that was its end.
pub(crate) async fn cancel(app: &App, queue: &Queue, id: JobId) -> Result<Cancel, QueueError> {
    let outcome = queue.cancel(&id).await?;
    if outcome == Cancel::Cancelled {
        app.live.conclude(queue, &id).await?;
    }
    Ok(outcome)
}
