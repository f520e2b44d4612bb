//! Client of the public HTTP API. The commands `say`, `bulk`, `jobs` and `demo` use nothing else, as
//! any caller.

mod api_problem;
mod api_types;
mod batch_calls;
mod batch_types;
mod event_stream;
mod result_line;

use std::time::Duration;

use csm_queue::live::EventId;
use csm_shared::store::OBJECT_MAX_BYTES;
use futures::{Stream, StreamExt as _};
use reqwest::{Method, RequestBuilder, Response, Url};

pub(crate) use api_problem::ApiProblem;
use api_types::FleetDocument;
pub(crate) use api_types::{CancelAnswer, FleetSlots, JobSummary, SpeechRequest};
pub(crate) use batch_types::{Batch, BatchRequest, BatchStatus, RequestCounts};
pub(crate) use result_line::{LineAudio, LineOutcome, ResultLine};

/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence on any connection. Long-polls answer sooner, and event streams send a comment
/// sooner.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Longest time for a request that has nothing to wait for.
const SHORT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for the download of the audio.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest JSON answer that is read, in bytes.
const JSON_MAX_BYTES: u64 = 1024 * 1024;

/// Reasons why the gateway did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Answer with an error status.
    #[error("{0}")]
    Refused(Box<ApiProblem>),
    /// No answer.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// URL of the request.
        url: String,
        /// Innermost cause.
        cause: String,
    },
    /// Answer that breaks the API's promises.
    #[error("unexpected answer: {0}")]
    Unreadable(String),
    /// Event stream that was cut too often.
    #[error("lost the connection to job {id} ({cause}); `csm jobs get {id}` tells how it went on")]
    Lost {
        /// Id of the job.
        id: String,
        /// Cause that ended the last connection.
        cause: String,
    },
    /// Base URL that is not an HTTP URL.
    #[error("{0:?} is no URL of a gateway; give one like http://127.0.0.1:8080")]
    BadUrl(String),
}

impl ClientError {
    /// Returns true if the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => problem.status >= 500 || problem.status == 429,
            Self::Unreadable(_) | Self::Lost { .. } | Self::BadUrl(_) => false,
        }
    }

    /// Returns true if the gateway does not know what the request names.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.status == 404)
    }

    fn unreachable(url: &Url, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Self::Unreachable { url: url.to_string(), cause: cause.to_string() }
    }
}

/// Client of one gateway. Clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct GatewayClient {
    http: reqwest::Client,
    base: Url,
}

impl GatewayClient {
    /// Makes a client of the gateway at `url` and sends nothing yet.
    pub(crate) fn new(url: &str) -> Result<Self, ClientError> {
        let bad_url = || ClientError::BadUrl(url.to_owned());
        let base: Url = format!("{}/", url.trim_end_matches('/')).parse().map_err(|_| bad_url())?;
        base.host_str().filter(|_| matches!(base.scheme(), "http" | "https")).ok_or_else(bad_url)?;
        Ok(Self { http: http_client(&base, SILENCE_MAX)?, base })
    }

    /// Submits a job: `POST /v1/jobs`.
    pub(crate) async fn submit(&self, request: &SpeechRequest) -> Result<JobSummary, ClientError> {
        let url = self.url(&["v1", "jobs"]);
        let request = self.http.post(url.clone()).timeout(SHORT_TIMEOUT).json(request);
        parse(&read_json(&url, request).await?)
    }

    /// Returns a job: `GET /v1/jobs/{id}`.
    pub(crate) async fn job(&self, id: &str) -> Result<JobSummary, ClientError> {
        parse(&self.job_json(id, 0).await?)
    }

    /// Returns the gateway's JSON of a job: `GET /v1/jobs/{id}?wait=`.
    pub(crate) async fn job_json(&self, id: &str, wait_seconds: u64) -> Result<serde_json::Value, ClientError> {
        let url = self.url(&["v1", "jobs", id]);
        let mut request = self.http.get(url.clone()).timeout(SHORT_TIMEOUT + Duration::from_secs(wait_seconds));
        if wait_seconds > 0 {
            request = request.query(&[("wait", wait_seconds)]);
        }
        read_json(&url, request).await
    }

    /// Asks for a job to be cancelled: `DELETE /v1/jobs/{id}`.
    pub(crate) async fn cancel(&self, id: &str) -> Result<CancelAnswer, ClientError> {
        let url = self.url(&["v1", "jobs", id]);
        let request = self.http.request(Method::DELETE, url.clone()).timeout(SHORT_TIMEOUT);
        parse(&read_json(&url, request).await?)
    }

    /// Downloads a job's whole file: `GET /v1/jobs/{id}/audio`.
    pub(crate) async fn audio(&self, id: &str) -> Result<Vec<u8>, ClientError> {
        let url = self.url(&["v1", "jobs", id, "audio"]);
        let response = send(&url, self.http.get(url.clone()).timeout(DOWNLOAD_TIMEOUT)).await?;
        read_body(&url, response, OBJECT_MAX_BYTES).await
    }

    /// Returns how many slots of the fleet are busy: `GET /v1/fleet`.
    pub(crate) async fn fleet_slots(&self) -> Result<FleetSlots, ClientError> {
        let url = self.url(&["v1", "fleet"]);
        let fleet: FleetDocument = parse(&read_json(&url, self.http.get(url.clone()).timeout(SHORT_TIMEOUT)).await?)?;
        Ok(fleet.slots())
    }

    /// Follows `GET /v1/jobs/{id}/events` to the end, over as many connections as needed.
    pub(crate) fn events(
        &self,
        id: &str,
    ) -> impl Stream<Item = Result<csm_queue::live::Event, ClientError>> + Send + use<> {
        event_stream::follow(self.clone(), id.to_owned())
    }

    /// Opens one connection of the event stream, which begins behind the event `last`.
    async fn open_events(&self, id: &str, last: Option<EventId>) -> Result<Response, ClientError> {
        let url = self.url(&["v1", "jobs", id, "events"]);
        let mut request = self.http.get(url.clone()).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        send(&url, request).await
    }

    /// Returns the base URL with more path segments. Characters that a path cannot hold are
    /// encoded.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// Makes a client of the server at `base` that waits `silence` for each part of an answer. A server on
/// this machine is never reached through a proxy.
fn http_client(base: &Url, silence: Duration) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(silence);
    if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| ClientError::unreachable(base, &error))
}

/// Sends a request. An error status becomes [`ClientError::Refused`].
async fn send(url: &Url, request: RequestBuilder) -> Result<Response, ClientError> {
    let response = request.send().await.map_err(|error| ClientError::unreachable(url, &error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let request_id = response.headers().get("x-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read_body(url, response, JSON_MAX_BYTES).await.unwrap_or_default();
    Err(ClientError::Refused(Box::new(ApiProblem::read(status.as_u16(), &body, request_id.as_deref()))))
}

async fn read_json(url: &Url, request: RequestBuilder) -> Result<serde_json::Value, ClientError> {
    read_large_json(url, request, JSON_MAX_BYTES).await
}

async fn read_large_json(url: &Url, request: RequestBuilder, max_bytes: u64) -> Result<serde_json::Value, ClientError> {
    let response = send(url, request).await?;
    let body = read_body(url, response, max_bytes).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Unreadable(format!("{url}: {error}")))
}

async fn read_body(url: &Url, response: Response, max_bytes: u64) -> Result<Vec<u8>, ClientError> {
    let mut chunks = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(|error| ClientError::unreachable(url, &error))?);
        if body.len() as u64 > max_bytes {
            return Err(ClientError::Unreadable(format!("{url}: more than {max_bytes} bytes")));
        }
    }
    Ok(body)
}

fn parse<T: serde::de::DeserializeOwned>(json: &serde_json::Value) -> Result<T, ClientError> {
    T::deserialize(json).map_err(|error| ClientError::Unreadable(format!("{error} in {json}")))
}
