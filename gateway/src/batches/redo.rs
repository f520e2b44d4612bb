//! `POST /v1/batches/{id}/lines/{line}/redo`: a line is spoken once more, with another seed.
//!
//! The order waits in Redis until the batch has ended. The feeder then runs the line's new job, writes its
//! outcome in the place of the old one, and joins the output anew. The old audio stays in the store.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use csm_queue::batches::{Batch, BatchRecord};
use csm_shared::job::{JobId, JobRecord, Seed};
use csm_shared::store::{ObjectKey, StoreError};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::fault::FeedFault;
use super::finish::finish;
use super::keys;
use super::outcome::{Outcome, to_lines};
use super::own_batch;
use super::request_line::RequestLine;
use super::results::{find_line, outcomes};
use super::store_reader::StoreLines;
use super::submission::{Submission, submit_again};
use crate::app::App;
use crate::http::Problem;
use crate::message_fields::MessageFields;

/// Pause between two looks at the job of a line.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks between two renewals of the lease.
const LOOKS_A_RENEWAL: u32 = 10;
/// Largest seed that is drawn, so that every JSON reader keeps it exactly.
const SEED_MAX: u64 = 1 << 53;

/// Leaves the order to speak a line again. Answers with the id of the new job.
pub(super) async fn redo_line(
    State(app): State<App>,
    Path((id, line)): Path<(String, u64)>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let headers = request.headers().clone();
    let mut body = app.bodies.read(request).await?;
    let batch = own_batch(&app, &headers, &id).await?;
    let body = if body.bytes.is_empty() { json!({}) } else { body.text_object().await? };
    let seed = seed(&MessageFields::of(&body))?.unwrap_or_else(|| rand::rng().random_range(0..SEED_MAX));
    let none = || Problem::no_line(format!("Line {line} of the batch has not ended, or there is none."));
    find_line(&app, &batch.record, line).await?.ok_or_else(none)?;
    app.batches.order_redo(&batch.record, line, seed).await?;
    app.batch_created.notify_one();
    let job = job_of(&id, line, seed);
    Ok((StatusCode::ACCEPTED, Json(json!({"line": line, "seed": seed, "job": job.to_string()}))))
}

fn seed(fields: &MessageFields<'_>) -> Result<Option<u64>, Problem> {
    match fields.value().get("seed") {
        None | Some(Value::Null) => Ok(None),
        Some(seed) => match seed.as_u64() {
            Some(seed) => Ok(Some(seed)),
            None => Err(fields.refuse("seed", format!("a whole number from 0 to {}", u64::MAX)).into()),
        },
    }
}

/// Returns the id of the job that speaks a line with another seed.
fn job_of(batch: &str, line: u64, seed: u64) -> JobId {
    JobId::of_line(batch, line).part(seed)
}

/// Carries out the orders at a batch that has ended, and joins its output anew.
pub(super) async fn redo(app: &App, owner: &Arc<str>, mut batch: Batch) -> Result<(), FeedFault> {
    for (line, seed) in app.batches.redo_orders(&batch.record.id).await? {
        let request = request_of(app, &batch.record, line).await?;
        let job = job_of(&batch.record.id, line, seed);
        if let Some(request) = request
            && let Some(record) = speak(app, owner, &batch.record, &request, job, Seed::new(seed)).await?
            && let Some(outcome) = Outcome::of_record(&request, &record).filter(Outcome::is_spoken)
        {
            replace(app, &mut batch.record, outcome).await?;
            // The files that the batch left before stay as they are.
            batch.record.takes += 1;
            app.batches.save(&batch.record, owner).await?.ok_or(FeedFault::LeaseLost)?;
        }
        app.batches.end_redo(&batch.record.id, line, seed).await?;
    }
    finish(app, owner, batch).await
}

/// Finds the request of a line.
async fn request_of(app: &App, record: &BatchRecord, line: u64) -> Result<Option<RequestLine>, FeedFault> {
    let Some(key) = record.lines_key.as_deref().and_then(|key| key.parse::<ObjectKey>().ok()) else { return Ok(None) };
    let mut lines = StoreLines::new(app.store.clone(), key, 0, record.lines_bytes);
    while let Some(text) = lines.next().await? {
        let request = RequestLine::from_json(&text)?;
        if request.line == line {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Runs the new job of a line to its end. `None` if the line cannot run.
async fn speak(
    app: &App,
    owner: &str,
    batch: &BatchRecord,
    line: &RequestLine,
    job: JobId,
    seed: Seed,
) -> Result<Option<JobRecord>, FeedFault> {
    let (queue, batch) = (app.patient_queue.for_accepted_job(), Arc::new(batch.clone()));
    for look in 1_u32.. {
        match queue.record(&job).await? {
            Some(record) if record.state.is_final() => return Ok(Some(record)),
            Some(_) => {}
            None => {
                if let Submission::Refused(_) = submit_again(app, Arc::clone(&batch), line.clone(), job, seed).await {
                    return Ok(None);
                }
            }
        }
        app.stop.run_until_cancelled(sleep(LOOK_EVERY)).await.ok_or(FeedFault::Stopped)?;
        if look.is_multiple_of(LOOKS_A_RENEWAL) {
            app.batches.lease(&batch.id, owner).await?.ok_or(FeedFault::LeaseLost)?;
        }
    }
    Ok(None)
}

/// Writes an outcome in the place of the line's earlier one.
async fn replace(app: &App, record: &mut BatchRecord, outcome: Outcome) -> Result<(), FeedFault> {
    let found = find_line(app, record, outcome.line).await;
    let found = found.map_err(|problem| StoreError::Unavailable(problem.to_string()))?;
    let Some((number, before)) = found else { return Ok(()) };
    let key = keys::shard(&record.id, number)?;
    let mut all: Vec<Outcome> = outcomes(&app.store.get(&key).await?).collect::<Result<_, _>>()?;
    if !before.is_spoken() {
        record.committed.completed += 1;
        record.committed.failed -= 1;
    }
    record.committed.audio_ms = record.committed.audio_ms + outcome.audio_ms() - before.audio_ms();
    if let Some(place) = all.iter_mut().find(|other| other.line == outcome.line) {
        *place = outcome;
    }
    Ok(app.store.put(&key, to_lines(&all)?, "application/jsonl").await?)
}
