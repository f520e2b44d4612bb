//! `GET /v1/jobs/{id}/cues?format=json|srt|vtt`: who says what from when to when.

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::{receipt, record};
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
    let receipt = receipt(record(&app.queue, &headers, &id).await?)?;
    Ok(answer(&cues(&receipt.turns, &receipt.sentences), &query)?)
}
