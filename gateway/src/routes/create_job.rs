//! `POST /v1/jobs`: accepts a job and answers at once.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use crate::app::App;
use crate::body;
use crate::problem::Problem;
use crate::request::Face;
use crate::response::{Accepted, QueuePlace, job_path};
use crate::submit::{prove, submit};

pub(crate) async fn create_job(State(app): State<App>, request: Request) -> Result<impl IntoResponse, Problem> {
    let body = body::read(&app, request).await?;
    let spec = prove(&app, body.bytes.clone(), Face::Native).await?;
    let (lane, seed) = (spec.lane, spec.sampling.seed.get());
    let tied = submit(&app, spec).await?;
    let id = tied.id();
    // The job is in; that its place cannot be told is no reason to deny it.
    let place = app.queue.ahead(&id).await.ok().flatten().map(|ahead| QueuePlace { ahead });
    tied.release();
    let accepted = Json(Accepted::new(&id, lane, seed, place));
    Ok((StatusCode::ACCEPTED, [(LOCATION, job_path(&id))], accepted))
}
