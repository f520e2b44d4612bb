//! `PUT /v1/jobs/{id}`: accepts a job under the caller's own id, as often as it is asked.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::create_job::accept;
use crate::app::App;
use crate::problem::Problem;
use crate::request::Caller;

pub(crate) async fn put_job(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::by_id(request.headers(), &id);
    accept(&app, caller, request).await
}
