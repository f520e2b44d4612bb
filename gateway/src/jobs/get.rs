//! `GET /v1/jobs/{id}?wait=SECONDS`: the job's record, at once, or after its end or the wait.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use csm_queue::live::{Event, EventId};
use csm_shared::job::limits::WAIT_SECONDS;
use csm_shared::job::{Invalid, JobId, JobState};
use futures::StreamExt as _;

use super::documents::{JobDocument, JobProgress, QueuePlace};
use super::record;
use crate::app::App;
use crate::http::Problem;

/// Answers with the document of a job.
pub(crate) async fn get_job(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<JobDocument, Problem> {
    let wait = wait_of(&query)?;
    let mut found = record(&app.queue, &headers, &id).await?;
    let mut progress = None;
    if !wait.is_zero() && !found.state.is_final() {
        progress = follow_for(&app, found.id, wait).await?;
        found = record(&app.queue, &headers, &id).await?;
    }
    let place = match found.state {
        JobState::Queued => {
            app.queue.ahead(&found.id).await?.map(|ahead| QueuePlace { ahead, wait_s: None, paused: false })
        }
        _ => None,
    };
    Ok(JobDocument::new(found, place, progress))
}

/// Reads the wait; the default is none.
fn wait_of(query: &HashMap<String, String>) -> Result<Duration, Invalid> {
    let Some(text) = query.get("wait") else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().filter(|&seconds| WAIT_SECONDS.allows(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| Invalid::outside("wait", text, &WAIT_SECONDS))
}

/// Follows a job until it ends, `wait` is over, or the gateway shuts down. Returns the last
/// progress that was seen.
async fn follow_for(app: &App, job: JobId, wait: Duration) -> Result<Option<JobProgress>, Problem> {
    let events = app.subscriptions.follow(&app.queue, job, EventId::START).await?;
    let mut events = pin!(events.ok_or_else(|| Problem::no_job(&job.to_string()))?);
    let mut over = pin!(tokio::time::sleep(wait));
    let mut progress = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event.transpose()?,
            () = over.as_mut() => return Ok(progress),
            () = app.stop.cancelled() => return Ok(progress),
        };
        match event.map(|event| event.event) {
            Some(Event::Progress { frames, max_frames, .. }) => progress = Some(JobProgress { frames, max_frames }),
            Some(Event::Started { .. }) => progress = None,
            Some(Event::Done { .. } | Event::Error { .. }) | None => return Ok(progress),
        }
    }
}
