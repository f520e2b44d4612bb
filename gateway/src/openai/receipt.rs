//! `GET /v1/audio/speech/{id}`: the receipt of a speech that has ended.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use csm_shared::job::{JobState, Receipt};

use crate::app::App;
use crate::caller::own_record;
use crate::http::Problem;

/// Answers with the receipt of the job that a speech's `x-job-id` named.
pub(crate) async fn speech_receipt(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Receipt>, Problem> {
    let none = || Problem::no_job(&id);
    let job = id.parse().map_err(|_| none())?;
    let record = own_record(&app.queue, &headers, job).await?.ok_or_else(none)?;
    match (record.state, record.receipt) {
        (JobState::Succeeded, Some(receipt)) => Ok(Json(receipt)),
        (state, _) if state.is_final() => Err(Problem::no_audio(job, state, record.failure)),
        (state, _) => Err(Problem::not_finished(job, state)),
    }
}
