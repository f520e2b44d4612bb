//! `POST /v1/jobs`: accepts a job and answers at once.
//!
//! With an `Idempotency-Key` the request can be repeated until an answer arrives.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::documents::{Accepted, QueuePlace, job_path};
use super::request::read;
use crate::app::App;
use crate::caller::Caller;
use crate::http::Problem;
use crate::http::media_type::require_json;
use crate::submit::{CheckedRequest, Submitted, parse_and_check, submit};

/// Header of an answer whose job was made by an earlier request.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Accepts a job under a new id, or under the one of the idempotency key.
pub(crate) async fn create_job(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let caller = Caller::by_key(&app, request.headers()).await;
    accept(&app, caller, request).await
}

/// Accepts a job and answers with its links.
///
/// A request that is refused for its headers is answered after the body was read, because most
/// clients send the whole body first.
pub(super) async fn accept(app: &App, caller: Result<Caller, Problem>, request: Request) -> Result<Response, Problem> {
    let json = require_json(request.headers());
    let body = app.bodies.read(request).await?;
    let caller = caller?;
    json?;
    answer(app, parse_and_check(app, body, read, caller).await?).await
}

/// Submits a checked request and answers with the links of its job.
pub(super) async fn answer(app: &App, checked: CheckedRequest) -> Result<Response, Problem> {
    let (spec, warnings) = (&checked.job_request.spec, checked.job_request.ticket.warnings.clone());
    let seed = spec.editing.edit().map_or(spec.sampling.seed, |edit| edit.seed);
    let (lane, seed) = (spec.lane, seed.get());
    let Submitted { cancel_on_drop, state, wait, paused, repeated } = submit(app, checked).await?;
    let id = cancel_on_drop.id();
    // The job is accepted: a place that cannot be read is left out of the answer.
    let ahead = app.status_queue.ahead(&id).await.ok().flatten();
    let place = ahead.map(|ahead| QueuePlace { ahead, wait_s: wait.map(|wait| wait.as_secs_f64()), paused });
    cancel_on_drop.disarm();
    let accepted = Json(Accepted::new(&id, state, lane, seed, place).with_warnings(warnings));
    let mut response = (StatusCode::ACCEPTED, [(LOCATION, job_path(&id))], accepted).into_response();
    if repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
