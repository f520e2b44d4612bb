//! A valid request into the queue, and the tie between a job and its caller: a job whose caller leaves before the answer is
//! called off.

use csm_shared::job::{JobId, JobSpec};
use csm_shared::queue::{Cancel, Queue, QueueError};
use csm_shared::telemetry::JOBS_ACCEPTED_TOTAL;
use tracing::Instrument as _;

use crate::app::App;
use crate::problem::Problem;
use crate::request::{self, Face};

/// A job that ends with its caller: dropped before [`Tied::release`], it is cancelled.
pub(crate) struct Tied {
    app: App,
    id: JobId,
    tied: bool,
}

impl Tied {
    /// The job.
    pub(crate) const fn id(&self) -> JobId {
        self.id
    }

    /// The job goes on, or has ended, without its caller.
    pub(crate) fn release(mut self) {
        self.tied = false;
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        if !self.tied {
            return;
        }
        let (app, id) = (self.app.clone(), self.id);
        self.app.tasks.spawn(async move {
            match cancel(&app, &app.patient_queue, id).await {
                Ok(outcome) => tracing::info!(job = %id, ?outcome, "the caller left; its job is called off"),
                Err(error) => tracing::warn!(job = %id, %error, "the caller left, but its job could not be called off"),
            }
        });
    }
}

/// Reads and measures a request off the async threads: a large one keeps a core busy for a while.
pub(crate) async fn prove(app: &App, body: axum::body::Bytes, face: Face) -> Result<JobSpec, Problem> {
    let app = app.clone();
    let proof = tokio::task::spawn_blocking(move || {
        let spec = request::read(&body, face)?;
        app.meter.check(&spec).map(|()| spec)
    });
    Ok(proof.await.map_err(Problem::internal)??)
}

/// Enqueues a job.
///
/// It runs in a task of its own, which ends whatever the caller does: were it dropped half way, the job might be accepted
/// after its cancellation. If the caller is gone by then, the tie goes with the task's result.
pub(crate) async fn submit(app: &App, spec: JobSpec) -> Result<Tied, Problem> {
    let lane = spec.lane;
    let tied = Tied { app: app.clone(), id: JobId::generate(), tied: true };
    let enqueue = async move {
        match tied.app.queue.enqueue(&tied.id, &spec).await {
            Ok(_) => Ok(tied),
            // The answer may have been lost, not the job; dropping the tie calls it off.
            Err(error @ QueueError::Redis(_)) => Err(error),
            Err(error) => {
                tied.release();
                Err(error)
            }
        }
    };
    let tied = app.tasks.spawn(enqueue.in_current_span()).await.map_err(Problem::internal)??;
    metrics::counter!(JOBS_ACCEPTED_TOTAL, "lane" => lane.name()).increment(1);
    tracing::info!(job = %tied.id, lane = lane.name(), "job accepted");
    Ok(tied)
}

/// Calls a job off, and tells its followers if that was its end.
pub(crate) async fn cancel(app: &App, queue: &Queue, id: JobId) -> Result<Cancel, QueueError> {
    let outcome = queue.cancel(&id).await?;
    if outcome == Cancel::Cancelled {
        app.live.conclude(queue, &id).await?;
    }
    Ok(outcome)
}
