//! `POST /v1/admin/lanes/{lane}/pause` and `.../resume`: holds a lane back, and lets it go on.

use axum::Json;
use axum::extract::{Path, State};
use csm_shared::job::Lane;
use serde::Serialize;

use super::access::Operator;
use crate::app::App;
use crate::http::Problem;

/// State of a lane after an operation.
#[derive(Debug, Serialize)]
pub(super) struct PausedDocument {
    lane: Lane,
    paused: bool,
}

/// Pauses a lane. A repeat changes nothing.
pub(super) async fn pause(
    operator: Operator,
    State(app): State<App>,
    Path(lane): Path<String>,
) -> Result<Json<PausedDocument>, Problem> {
    set_paused(&operator, &app, &lane, true).await
}

/// Lets a lane go on. A repeat changes nothing.
pub(super) async fn resume(
    operator: Operator,
    State(app): State<App>,
    Path(lane): Path<String>,
) -> Result<Json<PausedDocument>, Problem> {
    set_paused(&operator, &app, &lane, false).await
}

async fn set_paused(operator: &Operator, app: &App, lane: &str, paused: bool) -> Result<Json<PausedDocument>, Problem> {
    let lane: Lane = lane.parse()?;
    app.queue.pause(lane, paused).await?;
    let Operator { peer, request } = operator;
    tracing::info!(%peer, request, %lane, paused, "operator set pause of lane");
    Ok(Json(PausedDocument { lane, paused }))
}
