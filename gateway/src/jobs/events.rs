//! `GET /v1/jobs/{id}/events`: what happens to a job, as server-sent events, from any place in its story to its end.
//!
//! A stream that ends without `done` or `error` was cut: the caller connects again with `Last-Event-ID` and misses nothing.
//!
//! With a live delivery the `progress` events bring the samples, `audio: {offset, samples, pcm}`, each sample once: those
//! that follow an event are the same for every caller and every connection. Where one is missing the stream is cut. No more
//! than one read of the job's stream is held for a slow caller.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use csm_queue::live::{EventId, LiveEvent};
use csm_queue::queue::QueueError;
use futures::{Stream, StreamExt as _};

use super::job_id;
use crate::app::App;
use crate::problem::Problem;
use crate::provenance_headers::Provenance;

/// Silence after which a comment is sent, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) async fn job_events(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let job = job_id(&id)?;
    let after = last_event_id(&headers)?;
    let events = app.subscriptions.follow(&app.patient_queue, job, after).await?.ok_or_else(|| Problem::no_job(&id))?;
    let events = events.take_until(app.stop.clone().cancelled_owned());
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((Provenance::LIVE, unbuffered, Sse::new(to_sse(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

fn last_event_id(headers: &HeaderMap) -> Result<EventId, Problem> {
    match headers.get("last-event-id") {
        None => Ok(EventId::START),
        Some(value) => Ok(String::from_utf8_lossy(value.as_bytes()).parse::<EventId>()?),
    }
}

/// Ends, without a terminal event, at the first failure.
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
        Some(SseEvent::default().id(id.to_string()).event(event.name()).json_data(event))
    })
}
