//! `GET /v1/admin/ends`: how the last jobs ended.

use axum::Json;
use axum::extract::State;
use csm_queue::queue::JobEnd;
use csm_shared::job::{JobState, Lane};
use jiff::Timestamp;
use serde::Serialize;

use super::access::Access;
use crate::app::App;
use crate::http::Problem;

/// The last ends, newest first.
#[derive(Debug, Serialize)]
pub(super) struct EndsDocument {
    ends: Vec<EndDocument>,
}

#[derive(Debug, Serialize)]
struct EndDocument {
    at: Timestamp,
    state: JobState,
    /// Finish reason of a success, or class of a failure.
    reason: Option<String>,
    lane: Lane,
    worker: Option<String>,
    attempt: u64,
    /// Time from the last claim to the end, in seconds.
    seconds: Option<f64>,
    /// Id of the job, for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// Tenant of the job, for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
}

/// Answers with the last ends.
pub(super) async fn ends(access: Access, State(app): State<App>) -> Result<Json<EndsDocument>, Problem> {
    let ends = app.status_queue.last_ends().await?.into_iter().map(|end| document(end, access)).collect();
    Ok(Json(EndsDocument { ends }))
}

fn document(end: JobEnd, access: Access) -> EndDocument {
    let JobEnd { id, at, state, lane, tenant, attempt, worker, ran, reason } = end;
    EndDocument {
        at,
        state,
        reason,
        lane,
        worker,
        attempt,
        seconds: ran.map(|ran| ran.as_secs_f64()),
        job: access.is_operator().then(|| id.to_string()),
        tenant: access.is_operator().then_some(tenant),
    }
}
