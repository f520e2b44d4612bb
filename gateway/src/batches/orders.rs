//! Batches of a tenant: their records, and the orders to cancel, pause and go on.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use csm_queue::batches::BatchOrder;
use serde_json::Value;

use super::document::document;
use super::own_batch;
use crate::app::App;
use crate::caller::tenant;
use crate::files::{PageQuery, list};
use crate::http::Problem;

/// Answers with a page of the tenant's batches.
pub(super) async fn list_batches(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let page = app.batches.list(&tenant(&headers)?, query.after.as_deref(), query.limit()?).await?;
    let batches: Vec<_> = page.records.iter().map(document).collect();
    Ok(Json(list(&batches, page.has_more)))
}

/// Answers with a batch.
pub(super) async fn get_batch(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(document(&own_batch(&app, &headers, &id).await?)))
}

/// Cancels a batch. Its lines in the queue are cancelled, and the output has those that were done.
pub(super) async fn cancel_batch(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    order(&app, &headers, &id, BatchOrder::Cancel).await
}

/// Pauses a batch: no further lines enter the queue.
pub(super) async fn pause_batch(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    order(&app, &headers, &id, BatchOrder::Pause).await
}

/// Lets a paused batch go on.
pub(super) async fn resume_batch(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    order(&app, &headers, &id, BatchOrder::Resume).await
}

async fn order(app: &App, headers: &HeaderMap, id: &str, order: BatchOrder) -> Result<Json<Value>, Problem> {
    let batch = own_batch(app, headers, id).await?;
    if !app.batches.order(id, order).await? {
        return Err(Problem::batch_ended(id, batch.record.status.name()));
    }
    let batch = own_batch(app, headers, id).await?;
    let mut answer = document(&batch);
    if batch.cancel && !batch.record.status.is_final() {
        // The feeder is about to see the order.
        answer["status"] = "cancelling".into();
    }
    Ok(Json(answer))
}
