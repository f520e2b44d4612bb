//! `GET /v1/jobs/{id}/events`: the job's events as server-sent events, from any event to the end.
//!
//! A stream that ends without `done` or `no_result` was cut. The caller connects again with
//! `Last-Event-ID` and misses nothing. A gateway that shuts down cuts its streams behind a `retry`
//! hint. A caller that has the end gets 204, which stops an
//! `EventSource`: it connects again after any end of a stream.
//!
//! With a live delivery the `progress` events carry the samples, `audio: {offset, samples, pcm}`.
//! Each sample comes once, and the samples behind an event are the same for every caller and every
//! connection. If samples are missing, the stream is cut. For a slow caller at most one read of the
//! job's stream is held.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use csm_queue::live::{Event, EventId, LiveEvent};
use csm_queue::queue::QueueError;
use futures::{Stream, StreamExt as _, stream};

use super::record;
use crate::app::App;
use crate::http::Problem;
use crate::provenance_headers::Provenance;

/// Silence after which a comment is sent, so that proxies keep the connection open.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Time after which callers of a gateway that shuts down are told to connect again, to another one.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Answers with the event stream of a job.
pub(crate) async fn job_events(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let queue = app.patient_queue.for_accepted_job();
    let record = record(queue, &headers, &id).await?;
    let after = last_event_id(&headers)?;
    // The caller has heard the end.
    if record.state.is_final() && after >= EventId::terminal(record.attempt) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = app.subscriptions.follow(queue, record.id, after).await?;
    let events = events.ok_or_else(|| Problem::no_job(&id))?;
    let events = events.take_until(app.stop.clone().cancelled_owned());
    let stop = app.stop.clone();
    let hint = async move { stop.is_cancelled().then(|| Ok(SseEvent::default().retry(RECONNECT_AFTER))) };
    let events = to_sse(events).chain(stream::once(hint).filter_map(std::future::ready));
    let unbuffered = [("x-accel-buffering", "no")];
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_EVERY));
    Ok((Provenance::LIVE, unbuffered, sse).into_response())
}

/// Reads the event behind which the stream begins; the default is the first one.
fn last_event_id(headers: &HeaderMap) -> Result<EventId, Problem> {
    match headers.get("last-event-id") {
        None => Ok(EventId::START),
        Some(value) => Ok(String::from_utf8_lossy(value.as_bytes()).parse::<EventId>()?),
    }
}

/// Converts events to server-sent events; ends without a terminal event at the first failure.
fn to_sse(
    events: impl Stream<Item = Result<LiveEvent, QueueError>>,
) -> impl Stream<Item = Result<SseEvent, axum::Error>> {
    let readable = events.take_while(|event| {
        if let Err(error) = event {
            tracing::warn!(error = %error, "cutting event stream");
        }
        std::future::ready(event.is_ok())
    });
    readable.filter_map(async |event| {
        let LiveEvent { id, event } = event.ok()?;
        let named = SseEvent::default().id(id.to_string()).event(event.name());
        Some(match event {
            Event::Error { .. } => named.json_data(document(&event)),
            other => named.json_data(other),
        })
    })
}

/// Returns the JSON of an event, with the event's name for callers.
fn document(event: &Event) -> serde_json::Value {
    let mut document = serde_json::json!(event);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("event".to_owned(), event.name().into());
    }
    document
}
