//! Times of requests, for `/metrics`.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use csm_shared::process::telemetry::HTTP_REQUEST_SECONDS;

/// Label of requests whose path no route has.
const NO_ROUTE: &str = "(none)";
/// Label of methods that no route takes. A caller may send any word as a method.
const OTHER_METHOD: &str = "(other)";

/// Records the time from a request's headers to the headers of its answer.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels = [("route", route), ("method", method.to_owned()), ("status", status)];
    metrics::histogram!(HTTP_REQUEST_SECONDS, &labels).record(begun.elapsed().as_secs_f64());
    response
}

/// Returns the name of a method that some route takes.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or(OTHER_METHOD)
}
