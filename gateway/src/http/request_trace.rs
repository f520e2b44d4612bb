//! Trace of a request: the caller's, if it names one, and the header of the answer that names it.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use csm_shared::process::traces::TraceContext;

/// Header by which a caller names its trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Header by which the answer names the trace and the span of the request.
///
/// Source: <https://www.w3.org/TR/trace-context-2/#traceresponse-header>.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Returns the trace that the caller names; `None` if it names none, or in no readable way.
pub(crate) fn callers(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(TRACEPARENT)?.to_str().ok()?.to_owned().try_into().ok()
}

/// Names the trace in the answer.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let trace = TraceContext::current();
    let mut response = next.run(request).await;
    if let Some(value) = trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok()) {
        response.headers_mut().insert(TRACERESPONSE, value);
    }
    response
}
