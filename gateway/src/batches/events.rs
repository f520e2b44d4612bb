//! `GET /v1/batches/{id}/events`: the document of a batch as server-sent events, at each change.
//!
//! The last event has a final status. A stream that ends before was cut, and the caller connects again:
//! each event has all that there is to know.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, stream};
use serde_json::Value;

use super::document::document;
use super::own_batch;
use crate::app::App;
use crate::caller::tenant;
use crate::http::Problem;

/// Time between two looks at the record.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Silence after which a comment is sent.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Answers with the changes of a batch.
pub(super) async fn batch_events(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = tenant(&headers)?;
    own_batch(&app, &headers, &id).await?;
    let changes = changes(app, tenant, id);
    let sse = Sse::new(changes).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_EVERY));
    Ok(([("x-accel-buffering", "no")], sse).into_response())
}

/// Streams the documents of a batch up to the final one.
fn changes(
    app: App,
    tenant: csm_shared::job::Tenant,
    id: String,
) -> impl Stream<Item = Result<SseEvent, axum::Error>> + Send {
    stream::unfold(Some(Value::Null), move |sent| {
        let (app, tenant, id) = (app.clone(), tenant.clone(), id.clone());
        async move {
            let sent = sent?;
            let mut pause = Duration::ZERO;
            loop {
                // A gateway that shuts down cuts the stream.
                app.stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
                pause = LOOK_EVERY;
                let batch = match app.batches.get(&tenant, &id).await {
                    Ok(batch) => batch?,
                    Err(error) => {
                        tracing::warn!(batch = %id, error = %error, "cutting event stream");
                        return None;
                    }
                };
                let now = document(&batch);
                if now == sent {
                    continue;
                }
                let event = SseEvent::default().event("batch").json_data(&now);
                return Some((event, (!batch.record.status.is_final()).then_some(now)));
            }
        }
    })
}
