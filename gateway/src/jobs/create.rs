//! `POST /v1/jobs`: accepts a job and answers at once. With an `Idempotency-Key`, as often as it is asked.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use csm_shared::job::Invalid;

use crate::app::App;
use crate::body;
use crate::problem::Problem;
use crate::request::{ApiStyle, Caller};
use crate::response::{Accepted, QueuePlace, job_path};
use crate::submit::{Submitted, parse_and_check, submit};

/// Says that a request was answered with the job of an earlier one.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub(crate) async fn create_job(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let caller = Caller::by_key(request.headers());
    accept(&app, caller, request).await
}

/// Takes a job in and says where it is to be found. Who is refused by the headers alone is told so after the body, which
/// most clients send to its end before they listen.
pub(super) async fn accept(app: &App, caller: Result<Caller, Invalid>, request: Request) -> Result<Response, Problem> {
    let job_request = {
        let body = body::read(app, request).await?;
        parse_and_check(app, body.bytes.clone(), ApiStyle::Native, caller?).await?
    };
    let (lane, seed) = (job_request.spec.lane, job_request.spec.sampling.seed.get());
    let Submitted { cancel_on_drop, state, wait, repeated } = submit(app, job_request).await?;
    let id = cancel_on_drop.id();
    // The job is in; that its place cannot be told is no reason to deny it.
    let ahead = app.queue.ahead(&id).await.ok().flatten();
    let place = ahead.map(|ahead| QueuePlace { ahead, wait_s: wait.map(|wait| wait.as_secs_f64()) });
    cancel_on_drop.disarm();
    let accepted = Json(Accepted::new(&id, state, lane, seed, place));
    let mut response = (StatusCode::ACCEPTED, [(LOCATION, job_path(&id))], accepted).into_response();
    if repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
