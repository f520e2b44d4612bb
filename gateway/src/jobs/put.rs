//! `PUT /v1/jobs/{id}`: accepts a job under the caller's own id; the request can be repeated.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::create::accept;
use crate::app::App;
use crate::caller::Caller;
use crate::http::Problem;

/// Accepts a job under the id of the path.
pub(crate) async fn put_job(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::by_id(request.headers(), &id).map_err(Problem::from);
    accept(&app, caller, request).await
}
