//! `POST /v1/jobs/{id}/sentences/{n}`: one sentence of an ended job is spoken again, with another
//! seed.
//!
//! The answer names a new job. Its audio is the whole recording: the new take of the sentence, and
//! all others as they were.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use csm_queue::live::KeptSpeech;
use csm_queue::queue::RECORD_TTL;
use csm_shared::job::{Delivery, Editing, JobId, JobSpec, Receipt, SentenceEdit, WarningCode};
use csm_shared::process::digest::sha256_hex;
use csm_shared::store::StoreError;
use jiff::Timestamp;

use super::create::answer;
use super::{receipt, record};
use crate::app::App;
use crate::caller::Caller;
use crate::fields::{FieldError, JsonObject, UnknownFields, parse_json, seed, terms};
use crate::http::Problem;
use crate::http::media_type::require_json;
use crate::resources::DecodeRecording;
use crate::submit::{JobRequest, parse_and_check_some};

/// Memory for the codes of an ended job, in bytes: those of the longest job take half of it.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Copies of the object that its reading holds at most.
const OBJECT_COPIES: usize = 2;
/// Time that the codes are kept after an order: as long as after the end of their job.
const KEEP_AFTER_ORDER: Duration = RECORD_TTL;

/// Reasons why a job is not open to edits.
const NOT_ASKED_FOR: &str = "It was not asked for with \"editable\": true.";
const NOT_KEPT: &str = "Its codes could not be kept.";
const NO_LONGER_KEPT: &str = "Its codes are no longer kept.";
const UNREADABLE: &str = "This version cannot read its codes.";

/// Accepts a job that speaks a sentence again. The body may be empty.
pub(crate) async fn speak_sentence(
    State(app): State<App>,
    Path((id, number)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let mut body = app.bodies.read(request).await?;
    if body.bytes.is_empty() {
        body.bytes = Bytes::from_static(b"{}");
    } else {
        require_json(&headers)?;
    }
    let caller = Caller::by_key(&app, &headers).await?;
    body.memory.grow_to(OBJECT_COPIES * KEPT_BYTES_MAX).await?;
    let before = record(&app.queue, &headers, &id).await?;
    let (job, receipt) = (before.id, receipt(before)?);
    let sentence = sentence(job, &number, receipt.sentences.len())?;
    let (spec, edit) = kept(&app, job, &receipt, sentence).await?;
    let read = move |body: &[u8], caller: &Caller, _: &mut DecodeRecording<'_>| {
        Ok((Some(read(body, caller, spec, edit)?), ()))
    };
    let (checked, ()) = parse_and_check_some(&app, body, read, caller).await?;
    answer(&app, checked.ok_or_else(|| Problem::internal("a request became no job"))?).await
}

/// Reads the number of a sentence, which is from 1. Returns its place, from 0.
fn sentence(job: JobId, number: &str, sentences: usize) -> Result<u32, Problem> {
    let place = number.parse::<u32>().ok().and_then(|number| number.checked_sub(1));
    let place = place.filter(|&place| (place as usize) < sentences);
    place.ok_or_else(|| Problem::no_sentence(job, number, sentences))
}

/// Reads what a job has spoken. Returns its payload, and the order to speak a sentence with the job's
/// own seed.
async fn kept(app: &App, job: JobId, receipt: &Receipt, sentence: u32) -> Result<(JobSpec, SentenceEdit), Problem> {
    if receipt.editable_until.is_none() {
        let was_asked_for = receipt.warnings.iter().any(|warning| warning.code == WarningCode::NotEditable);
        return Err(Problem::not_editable(job, if was_asked_for { NOT_KEPT } else { NOT_ASKED_FOR }));
    }
    let key = KeptSpeech::key(&job, receipt.attempt).map_err(Problem::internal)?;
    let object = match app.store.get(&key).await {
        Err(StoreError::NotFound(_)) => return Err(Problem::not_editable(job, NO_LONGER_KEPT)),
        object => object?,
    };
    // The edit reads the object when its turn comes.
    let until = Timestamp::now() + KEEP_AFTER_ORDER;
    app.temporary_objects.register(&key, until).await.map_err(Problem::unavailable)?;
    let thread = app.decoder.thread().await?;
    let reading = tokio::task::spawn_blocking(move || {
        let _thread = thread;
        (sha256_hex(&object), KeptSpeech::decode_spec(&object))
    });
    let (sha256, spec) = reading.await.map_err(Problem::internal)?;
    let spec = spec.map_err(|error| {
        tracing::error!(job = %job, error = %error, "cannot read kept speech");
        Problem::not_editable(job, UNREADABLE)
    })?;
    let seed = spec.sampling.seed;
    Ok((spec, SentenceEdit { location: key.to_string(), sha256, sentence, seed }))
}

/// Reads a request's body: the seed of the new take, and the terms of the job.
fn read(body: &[u8], caller: &Caller, spec: JobSpec, edit: SentenceEdit) -> Result<JobRequest, FieldError> {
    let body = parse_json(body)?;
    let mut ticket = caller.ticket(&body);
    if caller.repeats {
        // The body does not say which sentence is meant.
        let order = format!("{} {} {}", ticket.fingerprint, edit.location, edit.sentence);
        ticket.fingerprint = sha256_hex(order.as_bytes());
    }
    let mut request = JsonObject::of_request(body, UnknownFields::Refuse)?;
    let seed = seed(&mut request, caller.job)?;
    let ticket = terms(&mut request, ticket)?;
    request.finish()?;
    let editing = Editing::Edit(SentenceEdit { seed, ..edit });
    let spec = JobSpec { editing, delivery: Delivery::Store, ..spec };
    Ok(JobRequest { ticket, spec, repeats: caller.repeats })
}
