//! `DELETE /v1/jobs/{id}`: cancels a job. A repeated cancel is harmless.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use csm_queue::queue::Cancel;
use csm_shared::job::JobState;

use super::documents::Cancelled;
use super::record;
use crate::app::App;
use crate::http::Problem;
use crate::submit::cancel;

/// Cancels a job and answers with the outcome.
pub(crate) async fn cancel_job(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Cancelled>, Problem> {
    let job = record(&app.queue, &headers, &id).await?.id;
    let status = match cancel(&app, &app.queue, job).await? {
        Cancel::Cancelled | Cancel::AlreadyFinal(JobState::Cancelled) => "cancelled",
        Cancel::Cancelling => "cancelling",
        Cancel::AlreadyFinal(state) => return Err(Problem::already_final(job, state)),
        Cancel::Missing => return Err(Problem::no_job(&id)),
    };
    Ok(Json(Cancelled { id: job.to_string(), status }))
}
