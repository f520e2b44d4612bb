//! `GET /v1/jobs/{id}/cues?format=json|srt|vtt`: who says what from when to when.

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use csm_shared::job::{JobRecord, JobState};

use super::record;
use crate::app::App;
use crate::cues::{CuesQuery, answer, cues};
use crate::http::Problem;

/// Answers with the cues of a job that has succeeded.
pub(crate) async fn job_cues(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<CuesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let record = record(&app.queue, &headers, &id).await?;
    let JobRecord { state: JobState::Succeeded, receipt: Some(receipt), .. } = &record else {
        return Err(match record.state.is_final() {
            true => Problem::no_audio(record.id, record.state, record.failure),
            false => Problem::not_finished(record.id, record.state),
        });
    };
    Ok(answer(&cues(&receipt.turns, &receipt.sentences), &query)?)
}
