//! `/v1/admin`: what an operator sees and does. The page at `/admin` uses these routes alone.
//!
//! Without the operators' token the routes show numbers. They name no tenant, no job, and no text of
//! a failure. Every operation needs the token, and is logged with its caller.

mod access;
mod dead_letters;
mod ends;
mod lanes;
mod overview;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

/// Makes the routes of operators.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/admin/fleet", get(overview::overview))
        .route("/v1/admin/ends", get(ends::ends))
        .route("/v1/admin/dead-letters", get(dead_letters::list))
        .route("/v1/admin/dead-letters/retry", post(dead_letters::retry))
        .route("/v1/admin/dead-letters/purge", post(dead_letters::purge))
        .route("/v1/admin/lanes/{lane}/pause", post(lanes::pause))
        .route("/v1/admin/lanes/{lane}/resume", post(lanes::resume))
}
