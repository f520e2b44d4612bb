//! The only mapping from what can go wrong to what a caller sees: RFC 9457 problem documents with stable codes.
//!
//! A [`Problem`] travels as an extension of its response and is written out by [`render`], which knows the request's id;
//! a WebSocket sends the same document as a text message. What is not meant for callers stays in `cause`, which is
//! logged once, where the problem is written out.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use csm_queue::queue::QueueError;
use csm_queue::redis_client::RedisFault;
use csm_shared::job::{Failure, Invalid, JobId, JobState, Reason};
use csm_shared::process::telemetry::REFUSED_TOTAL;
use csm_shared::store::StoreError;
use problem_details::ProblemDetails;
use serde::Serialize;

/// Seconds after which a caller may try again when Redis or the store was out of reach.
const RETRY_UNAVAILABLE: u32 = 2;
/// Seconds after which a caller may try again when a lane or a tenant was full, or nothing was taken in.
const RETRY_FULL: u32 = 30;
/// Longest time after which a caller is told to try again, in seconds.
const RETRY_MAX: u32 = 3_600;

/// Members that go beyond the RFC's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct ProblemExtensions {
    code: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<JobState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Why a request was not done.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<ProblemParts>);

#[derive(Clone, Debug)]
struct ProblemParts {
    status: StatusCode,
    title: &'static str,
    detail: String,
    extra: ProblemExtensions,
    headers: HeaderMap,
    cause: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let extra = ProblemExtensions { code: code.into(), ..ProblemExtensions::default() };
        Self(Box::new(ProblemParts {
            status,
            title,
            detail: detail.into(),
            extra,
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    fn too_many(code: &'static str, title: &'static str, detail: String, retry_after: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, title, detail).retry_after(retry_after)
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.0.headers.insert(RETRY_AFTER, seconds.into());
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "an error ends in its problem")]
    fn because(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    fn about(mut self, job: JobId) -> Self {
        self.0.extra.job = Some(job.to_string());
        self
    }

    fn in_state(mut self, state: JobState) -> Self {
        self.0.extra.state = Some(state);
        self
    }

    /// A defect of ours.
    pub(crate) fn internal(cause: impl ToString) -> Self {
        let detail = "Something went wrong here, not in the request.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).because(cause)
    }

    /// Redis or the store is out of reach.
    pub(crate) fn unavailable(cause: impl ToString) -> Self {
        let detail = "A part that this service needs is out of reach. Try again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable for the moment", detail)
            .retry_after(RETRY_UNAVAILABLE)
            .because(cause)
    }

    /// Too much is being read or held at once.
    pub(crate) fn overloaded(what: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too much at once", what)
            .retry_after(RETRY_UNAVAILABLE)
    }

    /// Whether a mark is there could not be found out; that is no "not detected".
    pub(crate) fn undetermined(cause: impl ToString) -> Self {
        let detail =
            "A worker was to look for a mark and did not answer, so nothing is said about the recording. Try again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "undetermined", "Not found out", detail)
            .retry_after(RETRY_UNAVAILABLE)
            .because(cause)
    }

    /// There is no key to look for a mark with.
    pub(crate) fn no_watermark_key() -> Self {
        let detail = "This gateway has no watermark key. Its operator sets CSM_WATERMARK_KEY to the workers' secret, or \
            CSM_DEVELOPMENT_WATERMARK for the published development key.";
        Self::new(StatusCode::NOT_IMPLEMENTED, "no_watermark_key", "No key to look for", detail)
    }

    /// The gateway is about to end.
    pub(crate) fn draining() -> Self {
        let detail = "This gateway is shutting down and could not finish in time. Send the request again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "Shutting down", detail).retry_after(RETRY_UNAVAILABLE)
    }

    /// The body did not arrive in time.
    pub(crate) fn slow_body(limit: Duration) -> Self {
        let detail = format!("The request's body did not arrive within {} s.", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request too slow", detail)
    }

    /// The body broke off.
    pub(crate) fn broken_body() -> Self {
        let detail = "The request's body ended before it was complete.";
        Self::new(StatusCode::BAD_REQUEST, "broken_body", "Incomplete request", detail)
    }

    /// The job took longer than a waiting caller is kept.
    pub(crate) fn took_too_long(job: JobId, limit: Duration) -> Self {
        let detail = format!("The job was not done within {} s and was called off.", limit.as_secs());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "job_timeout", "Job not done in time", detail).about(job)
    }

    /// No route of this path.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "No such page", format!("There is nothing at {path}."))
    }

    /// A route, but not by this method.
    pub(crate) fn wrong_method(method: &str) -> Self {
        let detail = format!("{method} is not possible here.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
    }

    /// A path or query that could not be decoded.
    fn unreadable(status: StatusCode) -> Self {
        Self::new(status, "unreadable_request", "Request cannot be read", "The path or query cannot be decoded.")
    }

    /// A plain request where a WebSocket was expected.
    pub(crate) fn no_upgrade(status: StatusCode, detail: String) -> Self {
        Self::new(status, "websocket_required", "A WebSocket is required", detail)
    }

    /// No job of this id.
    pub(crate) fn no_job(id: &str) -> Self {
        let detail = format!("There is no job {id}; records are kept for a day after the end.");
        Self::new(StatusCode::NOT_FOUND, "job_not_found", "No such job", detail)
    }

    /// A cancel that comes too late.
    pub(crate) fn already_final(job: JobId, state: JobState) -> Self {
        let detail = format!("The job has already ended as {state}.");
        Self::new(StatusCode::CONFLICT, "job_already_final", "Job has ended", detail).about(job).in_state(state)
    }

    /// Audio that is not there yet.
    pub(crate) fn not_finished(job: JobId, state: JobState) -> Self {
        let detail = format!("The job is {state}; its audio is there when it has succeeded.");
        Self::new(StatusCode::CONFLICT, "job_not_finished", "Job not finished", detail).about(job).in_state(state)
    }

    /// Audio that will never be there.
    pub(crate) fn no_audio(job: JobId, state: JobState, failure: Option<Failure>) -> Self {
        let detail = format!("The job has ended as {state}; there is no audio.");
        Self::ended(StatusCode::GONE, job, state, failure, detail)
    }

    /// The end, without a result, of a job that a caller was waiting for.
    pub(crate) fn job_ended(job: JobId, state: JobState, failure: Option<Failure>) -> Self {
        let status = if state == JobState::Failed { StatusCode::BAD_GATEWAY } else { StatusCode::CONFLICT };
        let detail = match &failure {
            Some(failure) => format!("The job has ended as {state}: {}.", failure.message.trim_end_matches('.')),
            None => format!("The job has ended as {state}."),
        };
        Self::ended(status, job, state, failure, detail)
    }

    fn ended(status: StatusCode, job: JobId, state: JobState, failure: Option<Failure>, detail: String) -> Self {
        let (code, title) = match state {
            JobState::Cancelled => ("job_cancelled", "Job was cancelled"),
            JobState::Expired => ("job_expired", "Job has expired"),
            _ => ("job_failed", "Job has failed"),
        };
        let mut problem = Self::new(status, code, title, detail).about(job).in_state(state);
        problem.0.extra.failure = failure;
        problem
    }

    /// Audio that the store no longer keeps.
    pub(crate) fn audio_gone(job: JobId) -> Self {
        Self::new(StatusCode::GONE, "audio_gone", "Audio is gone", "The store no longer keeps this audio.").about(job)
    }

    /// A range that lies behind the end.
    pub(crate) fn unsatisfiable_range(range: &str, bytes: u64) -> Self {
        let detail = format!("Range {range} lies outside of the {bytes} bytes.");
        let mut problem =
            Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "Range not satisfiable", detail);
        if let Ok(whole) = HeaderValue::try_from(format!("bytes */{bytes}")) {
            problem.0.headers.insert(CONTENT_RANGE, whole);
        }
        problem
    }

    /// The document as a WebSocket text message; logs and counts as [`render`] does.
    pub(crate) fn to_message(&self, request_id: &str) -> String {
        self.report(request_id);
        serde_json::to_string(&self.document(request_id)).unwrap_or_default()
    }

    fn document(&self, request_id: &str) -> ProblemDetails<ProblemExtensions> {
        let parts = &*self.0;
        let mut extra = parts.extra.clone();
        extra.request_id = Some(request_id.to_owned());
        let mut document =
            ProblemDetails::new().with_status(parts.status).with_title(parts.title).with_detail(parts.detail.clone());
        if let Ok(uri) = Uri::try_from(format!("/problems/{}", extra.code)) {
            document = document.with_type(uri);
        }
        document.with_extensions(extra)
    }

    fn report(&self, request_id: &str) {
        let ProblemParts { status, extra, cause, .. } = &*self.0;
        metrics::counter!(REFUSED_TOTAL, "code" => extra.code.clone()).increment(1);
        if let Some(cause) = cause {
            tracing::error!(request = request_id, status = status.as_u16(), code = %extra.code, cause, "request failed");
        }
    }
}

/// Writes out the problem that a response carries; one that failed without is given one.
pub(crate) fn render(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let carried = response.extensions_mut().remove::<Problem>();
    let Some(problem) = carried.or_else(|| failed.then(|| Problem::unreadable(status))) else { return response };
    problem.report(request_id);
    let mut rendered = problem.document(request_id).into_response();
    rendered.headers_mut().extend(problem.0.headers);
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        rendered.headers_mut().insert(ALLOW, allow);
    }
    rendered
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let title = match invalid.reason {
            Reason::OutOfRange => "Value out of range",
            Reason::Malformed => "Value cannot be read",
            Reason::WindowExceeded => "Too long for the model",
            Reason::TooLarge => "Too large",
        };
        let detail = match invalid.reason {
            Reason::Malformed => format!("{}: {} is not {}.", invalid.field, invalid.value, invalid.limit),
            _ => format!("{invalid}."),
        };
        let status = StatusCode::from_u16(invalid.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
        let mut problem = Self::new(status, invalid.reason.code(), title, detail);
        let extra = &mut problem.0.extra;
        (extra.field, extra.value, extra.limit) = (Some(invalid.field), Some(invalid.value), Some(invalid.limit));
        problem
    }
}

/// When the backlog will have shrunk to what is allowed, if nothing more comes in; in whole seconds.
fn retry_busy(wait: Duration, limit: Duration) -> u32 {
    let seconds = wait.saturating_sub(limit).as_millis().div_ceil(1_000);
    u32::try_from(seconds).unwrap_or(RETRY_MAX).clamp(1, RETRY_MAX)
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { lane, depth, limit } => {
                let detail = format!("Lane {lane} holds {depth} jobs; the limit is {limit}.");
                Self::too_many("lane_full", "Too many jobs", detail, RETRY_FULL)
            }
            QueueError::TenantFull { tenant, open, limit } => {
                let detail = format!("Tenant {tenant} has {open} jobs waiting and running; the limit is {limit}.");
                Self::too_many("tenant_full", "Too many jobs of one tenant", detail, RETRY_FULL)
            }
            QueueError::Busy { lane, wait, limit } => {
                let (wait_s, limit_s) = (wait.as_secs_f64(), limit.as_secs_f64());
                let detail =
                    format!("A job in lane {lane} would wait about {wait_s:.1} s; the limit is {limit_s:.1} s.");
                Self::too_many("queue_busy", "Too long a wait", detail, retry_busy(wait, limit))
            }
            QueueError::TooLate { lane, wait } => {
                let detail = format!(
                    "A job in lane {lane} would wait about {:.1} s, beyond its deadline. A later try would come later still.",
                    wait.as_secs_f64()
                );
                Self::new(StatusCode::TOO_MANY_REQUESTS, "deadline_too_near", "Cannot be done in time", detail)
            }
            QueueError::Closed => {
                let detail = "The queue takes no new jobs for the moment, by an operator's order.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "intake_closed", "No new jobs are taken", detail)
                    .retry_after(RETRY_FULL)
            }
            QueueError::Conflict(job) => {
                let detail = "The key or id was used for another request. Repeat that one exactly, or use a new one.";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", "Not the same request", detail)
                    .about(job)
            }
            QueueError::Redis(RedisFault::Unsupported(what)) => {
                let detail = "Redis, as it is set up here, cannot promise durability \"fsync\". Nothing was accepted.";
                Self::new(StatusCode::NOT_IMPLEMENTED, "durability_unavailable", "Durability not available", detail)
                    .because(what)
            }
            error if error.is_transient() => Self::unavailable(error),
            error => Self::internal(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_permanent() { Self::internal(error) } else { Self::unavailable(error) }
    }
}

#[cfg(test)]
mod tests;
