//! Problem documents (RFC 9457): the only way from an error to an answer.
//!
//! [`Problem`] has one constructor for each kind of refusal. [`catalogue`] holds the code, title,
//! meaning and remedy of each kind. [`conversions`] maps the errors of other crates. [`mod@render`]
//! writes the document, and [`pages`] serves the page behind the document's `type`.
//!
//! A problem travels as an extension of its response until the request's id is known. Text that
//! is not meant for callers stays in the problem's `cause` and is logged once, with the document.

mod cartesia;
mod catalogue;
mod conversions;
mod deepgram;
mod elevenlabs;
mod openai;
pub(crate) mod pages;
mod render;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use csm_shared::job::{Failure, JobId, JobState};
use serde::Serialize;

use catalogue::{ProblemCode, ProblemKind};

use crate::resources::{UPLOAD_GRACE, UPLOAD_LIMIT, UPLOAD_RATE};

pub(crate) use openai::ErrorShape;
pub(crate) use render::render;

/// `Retry-After` if Redis or the store is out of reach, in seconds.
const RETRY_UNAVAILABLE_SECONDS: u32 = 2;
/// `Retry-After` if a lane or a tenant is full, or the intake is closed, in seconds.
const RETRY_FULL_SECONDS: u32 = 30;
/// Largest `Retry-After`, in seconds.
const RETRY_MAX_SECONDS: u32 = 3_600;

/// Largest part of a request's own text (path, method, id, header) that an answer or a log line
/// repeats, in characters.
const ECHO_CHARS_MAX: usize = 120;

/// Returns a request's own text, cut to [`ECHO_CHARS_MAX`].
pub(crate) fn echoed(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()).into(),
    }
}

/// Members of a problem document beyond those of the RFC.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct ProblemExtensions {
    code: &'static str,
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

/// Reason why a request was refused or failed.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<ProblemParts>);

/// Contents of a [`Problem`].
#[derive(Clone, Debug)]
struct ProblemParts {
    /// Entry of the catalogue: code and title.
    kind: &'static ProblemKind,
    /// HTTP status of the answer.
    status: StatusCode,
    /// Explanation of this very occurrence.
    detail: String,
    /// Further members of the document.
    extra: ProblemExtensions,
    /// Headers of the answer.
    headers: HeaderMap,
    /// Text for the log, never shown to callers.
    cause: Option<String>,
}

/// Building blocks of the constructors.
impl Problem {
    /// Makes a problem with the first status of its catalogue entry.
    fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::with_status(code, code.kind().usual_status(), detail)
    }

    /// Makes a problem of a kind that has several statuses.
    fn with_status(code: ProblemCode, status: StatusCode, detail: impl Into<String>) -> Self {
        let kind = code.kind();
        let extra = ProblemExtensions { code: kind.code, ..ProblemExtensions::default() };
        Self(Box::new(ProblemParts {
            kind,
            status,
            detail: detail.into(),
            extra,
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// Adds a `Retry-After` header.
    fn retry_after(mut self, seconds: u32) -> Self {
        self.0.headers.insert(RETRY_AFTER, seconds.into());
        self
    }

    /// Adds the cause for the log.
    #[expect(clippy::needless_pass_by_value, reason = "an error ends in its problem")]
    fn because(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Adds the id of the job.
    fn about(mut self, job: JobId) -> Self {
        self.0.extra.job = Some(job.to_string());
        self
    }

    /// Adds the state of the job.
    fn in_state(mut self, state: JobState) -> Self {
        self.0.extra.state = Some(state);
        self
    }
}

/// Problems of the service and of HTTP.
impl Problem {
    /// Reports a defect of the service.
    pub(crate) fn internal(cause: impl ToString) -> Self {
        let detail = "Something went wrong here, not in the request.";
        Self::new(ProblemCode::Internal, detail).because(cause)
    }

    /// Reports that Redis or the store is out of reach.
    pub(crate) fn unavailable(cause: impl ToString) -> Self {
        let detail = "A part that this service needs is out of reach. Try again.";
        Self::new(ProblemCode::Unavailable, detail).retry_after(RETRY_UNAVAILABLE_SECONDS).because(cause)
    }

    /// Reports that the store, as it is set up or mounted, cannot be used.
    pub(crate) fn store_unusable(cause: impl ToString) -> Self {
        let detail = "The store of finished audio cannot be used until its operator mends it. The audio is not lost.";
        Self::new(ProblemCode::Unavailable, detail).retry_after(RETRY_FULL_SECONDS).because(cause)
    }

    /// Reports that too much is being read or held at once.
    pub(crate) fn overloaded(detail: &'static str) -> Self {
        Self::new(ProblemCode::Overloaded, detail).retry_after(RETRY_UNAVAILABLE_SECONDS)
    }

    /// Reports that the search for a mark had no result, which is different from "not detected".
    pub(crate) fn undetermined(cause: impl ToString) -> Self {
        let detail =
            "A worker was to look for a mark and did not answer, so nothing is said about the recording. Try again.";
        Self::new(ProblemCode::Undetermined, detail).retry_after(RETRY_UNAVAILABLE_SECONDS).because(cause)
    }

    /// Reports that the gateway has no watermark key.
    pub(crate) fn no_watermark_key() -> Self {
        let detail = "This gateway has no watermark key. Its operator sets CSM_WATERMARK_KEY to the workers' secret, or \
            CSM_DEVELOPMENT_WATERMARK for the published development key.";
        Self::new(ProblemCode::NoWatermarkKey, detail)
    }

    /// Reports that the gateway shuts down before the request is done.
    pub(crate) fn draining() -> Self {
        let detail = "This gateway is shutting down and could not finish in time. Send the request again.";
        Self::new(ProblemCode::Draining, detail).retry_after(RETRY_UNAVAILABLE_SECONDS)
    }

    /// Reports that the body arrived too slowly.
    pub(crate) fn slow_body() -> Self {
        let (grace, rate, limit) = (UPLOAD_GRACE.as_secs(), UPLOAD_RATE, UPLOAD_LIMIT.as_secs());
        let detail = format!(
            "The request's body came too slowly. After {grace} s it needs {rate} bytes a second, and it has {limit} s in all."
        );
        Self::new(ProblemCode::RequestTimeout, detail)
    }

    /// Reports that the body ended before it was complete.
    pub(crate) fn broken_body() -> Self {
        Self::new(ProblemCode::BrokenBody, "The request's body ended before it was complete.")
    }

    /// Reports that no route has this path.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("There is nothing at {}.", echoed(path)))
    }

    /// Reports a request to a host name that is none of this gateway's.
    pub(crate) fn foreign_host(host: &str) -> Self {
        let detail = format!(
            "Host {} is no name of this gateway. Its operator can add the name to CSM_ALLOWED_HOSTS.",
            echoed(host)
        );
        Self::new(ProblemCode::ForeignHost, detail)
    }

    /// Reports a request from a page of another site.
    pub(crate) fn foreign_origin(origin: &str) -> Self {
        let detail = format!(
            "Pages of the origin {} may not use this gateway. Its operator can add the origin to CSM_ALLOWED_ORIGINS.",
            echoed(origin)
        );
        Self::new(ProblemCode::ForeignOrigin, detail)
    }

    /// Reports that the path does not take this method.
    pub(crate) fn wrong_method(method: &str) -> Self {
        Self::new(ProblemCode::MethodNotAllowed, format!("{} is not possible here.", echoed(method)))
    }

    /// Reports that the path or query cannot be decoded.
    fn unreadable(status: StatusCode) -> Self {
        Self::with_status(ProblemCode::UnreadableRequest, status, "The path or query cannot be decoded.")
    }

    /// Reports a plain request to the path of a WebSocket.
    pub(crate) fn no_upgrade(status: StatusCode, detail: String) -> Self {
        Self::with_status(ProblemCode::WebsocketRequired, status, detail)
    }

    /// Reports a range that lies behind the end of a file of `bytes` bytes.
    pub(crate) fn unsatisfiable_range(range: &str, bytes: u64) -> Self {
        let detail = format!("Range {} lies outside of the {bytes} bytes.", echoed(range));
        let mut problem = Self::new(ProblemCode::RangeNotSatisfiable, detail);
        if let Ok(whole) = HeaderValue::try_from(format!("bytes */{bytes}")) {
            problem.0.headers.insert(CONTENT_RANGE, whole);
        }
        problem
    }
}

/// Problems of operators.
impl Problem {
    /// Reports an operation without the operators' token.
    pub(crate) fn admin_token(detail: &'static str) -> Self {
        let mut problem = Self::new(ProblemCode::AdminToken, detail);
        problem.0.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        problem
    }

    /// Reports an operation on a gateway without a token.
    pub(crate) fn admin_off() -> Self {
        Self::new(ProblemCode::AdminOff, "This gateway has no token for operators, so it only shows numbers.")
    }

    /// Reports an operation on a job that is no dead letter.
    pub(crate) fn no_dead_letter(id: &str) -> Self {
        Self::new(ProblemCode::DeadLetterNotFound, format!("There is no dead letter {}.", echoed(id)))
    }
}

/// Problems of files and batches.
impl Problem {
    /// Reports that there is no file with this id.
    pub(crate) fn no_file(id: &str) -> Self {
        Self::new(ProblemCode::FileNotFound, format!("There is no file {}.", echoed(id)))
    }

    /// Reports that there is no batch with this id.
    pub(crate) fn no_batch(id: &str) -> Self {
        Self::new(ProblemCode::BatchNotFound, format!("There is no batch {}.", echoed(id)))
    }

    /// Reports an order to a batch that has ended.
    pub(crate) fn batch_ended(id: &str, status: &str) -> Self {
        Self::new(ProblemCode::BatchAlreadyFinal, format!("The batch {} has already ended as {status}.", echoed(id)))
    }

    /// Reports a store that failed in the middle of an upload, as a full one does.
    pub(crate) fn upload_failed(bytes: u64, cause: impl ToString) -> Self {
        let detail = format!(
            "The store failed after {bytes} bytes of the file; it may be full. Nothing of the file was kept. Try again."
        );
        Self::new(ProblemCode::Unavailable, detail).retry_after(RETRY_FULL_SECONDS).because(cause)
    }

    /// Reports that a batch has no result there.
    pub(crate) fn no_line(detail: String) -> Self {
        Self::new(ProblemCode::LineNotFound, detail)
    }

    /// Reports that a tenant has as many unfinished batches as it may.
    pub(crate) fn too_many_batches(limit: u64) -> Self {
        let detail = format!("The tenant has {limit} unfinished batches, which is the limit.");
        Self::new(ProblemCode::TenantFull, detail).retry_after(RETRY_FULL_SECONDS)
    }

    /// Returns true if the same request may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        let status = self.0.status;
        status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    }
}

/// Problems of jobs.
impl Problem {
    /// Reports that there is no job with this id.
    pub(crate) fn no_job(id: &str) -> Self {
        let detail = format!("There is no job {}; records are kept for a day after the end.", echoed(id));
        Self::new(ProblemCode::JobNotFound, detail)
    }

    /// Reports that the job took longer than its caller is kept waiting.
    pub(crate) fn took_too_long(job: JobId, limit: Duration) -> Self {
        let detail = format!("The job was not done within {} s and was called off.", limit.as_secs());
        Self::new(ProblemCode::JobTimeout, detail).about(job)
    }

    /// Reports a cancel of a job that has ended.
    pub(crate) fn already_final(job: JobId, state: JobState) -> Self {
        let detail = format!("The job has already ended as {state}.");
        Self::new(ProblemCode::JobAlreadyFinal, detail).about(job).in_state(state)
    }

    /// Reports a request for the audio of a job that has not ended.
    pub(crate) fn not_finished(job: JobId, state: JobState) -> Self {
        let detail = format!("The job is {state}; its audio is there when it has succeeded.");
        Self::new(ProblemCode::JobNotFinished, detail).about(job).in_state(state)
    }

    /// Reports an edit of a job whose codes are not kept.
    pub(crate) fn not_editable(job: JobId, why: &str) -> Self {
        let detail = format!("No sentence of the job can be spoken again. {why}");
        Self::new(ProblemCode::JobNotEditable, detail).about(job)
    }

    /// Reports that a job has no sentence of this number.
    pub(crate) fn no_sentence(job: JobId, number: &str, sentences: usize) -> Self {
        let detail = format!("The job has no sentence {}; it has the sentences 1 to {sentences}.", echoed(number));
        Self::new(ProblemCode::SentenceNotFound, detail).about(job)
    }

    /// Reports a request for the audio of a job that ended without any.
    pub(crate) fn no_audio(job: JobId, state: JobState, failure: Option<Failure>) -> Self {
        let detail = format!("The job has ended as {state}; there is no audio.");
        Self::ended(StatusCode::GONE, job, state, failure, detail)
    }

    /// Reports the end without a result of a job that a caller was waiting for.
    pub(crate) fn job_ended(job: JobId, state: JobState, failure: Option<Failure>) -> Self {
        let status = if state == JobState::Failed { StatusCode::BAD_GATEWAY } else { StatusCode::CONFLICT };
        let detail = match &failure {
            Some(failure) => format!("The job has ended as {state}: {}.", failure.message.trim_end_matches('.')),
            None => format!("The job has ended as {state}."),
        };
        Self::ended(status, job, state, failure, detail)
    }

    fn ended(status: StatusCode, job: JobId, state: JobState, failure: Option<Failure>, detail: String) -> Self {
        let code = match state {
            JobState::Cancelled => ProblemCode::JobCancelled,
            JobState::Expired => ProblemCode::JobExpired,
            _ => ProblemCode::JobFailed,
        };
        let mut problem = Self::with_status(code, status, detail).about(job).in_state(state);
        problem.0.extra.failure = failure;
        problem
    }

    /// Reports audio that the store no longer holds.
    pub(crate) fn audio_gone(job: JobId) -> Self {
        Self::new(ProblemCode::AudioGone, "The store no longer keeps this audio.").about(job)
    }
}
