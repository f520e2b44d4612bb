//! Calls of `/v1/files` and `/v1/batches`.

use std::time::Duration;

use csm_shared::store::OBJECT_MAX_BYTES;
use eventsource_stream::Eventsource as _;
use futures::{Stream, StreamExt as _};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Response};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::batch_types::{BatchPage, RedoAnswer, UploadedFile};
use super::{
    Batch, BatchRequest, ClientError, DOWNLOAD_TIMEOUT, GatewayClient, ResultLine, SHORT_TIMEOUT, http_client, parse,
    read_body, read_large_json, send,
};

/// Longest time for the upload of an input.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of an input that are read at once.
const UPLOAD_BUFFER_BYTES: usize = 64 * 1024;
/// Longest answer about batches, in bytes. A batch may list many errors of its input.
const BATCH_ANSWER_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Purpose of an uploaded input.
const PURPOSE: &str = "batch";
/// Name of the events that hold a batch.
const BATCH_EVENT: &str = "batch";

impl GatewayClient {
    /// Uploads a batch's input of `bytes` bytes under a file name: `POST /v1/files`. Returns the id
    /// of the uploaded file.
    pub(crate) async fn upload(&self, name: &str, bytes: u64, file: File) -> Result<String, ClientError> {
        let url = self.url(&["v1", "files"]);
        let body = Body::wrap_stream(ReaderStream::with_capacity(file, UPLOAD_BUFFER_BYTES));
        let part = Part::stream_with_length(body, bytes).file_name(name.to_owned());
        let form = Form::new().text("purpose", PURPOSE).part("file", part);
        // The usual limit for silence would count from the first byte sent.
        let http = http_client(&self.base, UPLOAD_TIMEOUT)?;
        let request = http.post(url.clone()).timeout(UPLOAD_TIMEOUT).multipart(form);
        let uploaded: UploadedFile = parse(&read_large_json(&url, request, BATCH_ANSWER_MAX_BYTES).await?)?;
        Ok(uploaded.id)
    }

    /// Creates a batch: `POST /v1/batches`. A request that is repeated with the same key answers with
    /// the same batch.
    pub(crate) async fn create_batch(&self, key: &str, request: &BatchRequest) -> Result<Batch, ClientError> {
        let url = self.url(&["v1", "batches"]);
        let request = self.http.post(url.clone()).timeout(SHORT_TIMEOUT).header("idempotency-key", key).json(request);
        parse(&read_large_json(&url, request, BATCH_ANSWER_MAX_BYTES).await?)
    }

    /// Returns a batch: `GET /v1/batches/{id}`.
    pub(crate) async fn batch(&self, id: &str) -> Result<Batch, ClientError> {
        parse(&self.batch_json(id).await?)
    }

    /// Returns the gateway's JSON of a batch: `GET /v1/batches/{id}`.
    pub(crate) async fn batch_json(&self, id: &str) -> Result<Value, ClientError> {
        let url = self.url(&["v1", "batches", id]);
        let request = self.http.get(url.clone()).timeout(SHORT_TIMEOUT);
        read_large_json(&url, request, BATCH_ANSWER_MAX_BYTES).await
    }

    /// Returns at most `limit` batches that are older than the batch `after`, newest first, and
    /// whether more follow: `GET /v1/batches`.
    pub(crate) async fn batches(&self, limit: u64, after: Option<&str>) -> Result<(Vec<Batch>, bool), ClientError> {
        let url = self.url(&["v1", "batches"]);
        let mut request = self.http.get(url.clone()).timeout(SHORT_TIMEOUT).query(&[("limit", limit)]);
        if let Some(after) = after {
            request = request.query(&[("after", after)]);
        }
        let page: BatchPage = parse(&read_large_json(&url, request, BATCH_ANSWER_MAX_BYTES).await?)?;
        Ok((page.data, page.has_more))
    }

    /// Asks for a batch to be cancelled: `POST /v1/batches/{id}/cancel`.
    pub(crate) async fn cancel_batch(&self, id: &str) -> Result<Batch, ClientError> {
        self.change_batch(id, "cancel").await
    }

    /// Keeps further lines of a batch from beginning: `POST /v1/batches/{id}/pause`.
    pub(crate) async fn pause_batch(&self, id: &str) -> Result<Batch, ClientError> {
        self.change_batch(id, "pause").await
    }

    /// Ends a batch's pause: `POST /v1/batches/{id}/resume`.
    pub(crate) async fn resume_batch(&self, id: &str) -> Result<Batch, ClientError> {
        self.change_batch(id, "resume").await
    }

    async fn change_batch(&self, id: &str, change: &str) -> Result<Batch, ClientError> {
        let url = self.url(&["v1", "batches", id, change]);
        let request = self.http.post(url.clone()).timeout(SHORT_TIMEOUT);
        parse(&read_large_json(&url, request, BATCH_ANSWER_MAX_BYTES).await?)
    }

    /// Returns the results of a shard; `None` if it is not complete:
    /// `GET /v1/batches/{id}/shards/{n}`.
    pub(crate) async fn batch_shard(&self, id: &str, shard: u64) -> Result<Option<Vec<ResultLine>>, ClientError> {
        let url = self.url(&["v1", "batches", id, "shards", &shard.to_string()]);
        let response = match send(&url, self.http.get(url.clone()).timeout(DOWNLOAD_TIMEOUT)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            response => response?,
        };
        let jsonl = read_body(&url, response, BATCH_ANSWER_MAX_BYTES).await?;
        let lines = ResultLine::read_all(&jsonl);
        lines.map(Some).map_err(|error| ClientError::Unreadable(format!("{url}: {error}")))
    }

    /// Downloads the audio file of a line, piece by piece: `GET /v1/batches/{id}/lines/{line}/audio`.
    pub(crate) async fn line_audio(
        &self,
        id: &str,
        line: u64,
    ) -> Result<impl Stream<Item = Result<impl AsRef<[u8]> + Send, ClientError>> + Send, ClientError> {
        let url = self.url(&["v1", "batches", id, "lines", &line.to_string(), "audio"]);
        let response = send(&url, self.http.get(url.clone()).timeout(DOWNLOAD_TIMEOUT)).await?;
        if response.content_length().is_some_and(|bytes| bytes > OBJECT_MAX_BYTES) {
            return Err(ClientError::Unreadable(format!("{url}: more than {OBJECT_MAX_BYTES} bytes")));
        }
        let chunks = response.bytes_stream();
        Ok(chunks.map(move |chunk| chunk.map_err(|error| ClientError::unreachable(&url, &error))))
    }

    /// Asks for a line to be spoken again: `POST /v1/batches/{id}/lines/{line}/redo`. Returns the id
    /// of the new job.
    pub(crate) async fn redo_line(&self, id: &str, line: u64, seed: Option<u64>) -> Result<String, ClientError> {
        let url = self.url(&["v1", "batches", id, "lines", &line.to_string(), "redo"]);
        let body = seed.map_or_else(|| json!({}), |seed| json!({ "seed": seed }));
        let request = self.http.post(url.clone()).timeout(SHORT_TIMEOUT).json(&body);
        let answer: RedoAnswer = parse(&read_large_json(&url, request, BATCH_ANSWER_MAX_BYTES).await?)?;
        Ok(answer.job)
    }

    /// Opens one connection of a batch's event stream: `GET /v1/batches/{id}/events`. The stream
    /// ends when the connection does.
    pub(crate) async fn batch_events(
        &self,
        id: &str,
    ) -> Result<impl Stream<Item = Result<Batch, ClientError>> + Send + use<>, ClientError> {
        let url = self.url(&["v1", "batches", id, "events"]);
        let request = self.http.get(url.clone()).header("accept", "text/event-stream");
        Ok(read_events(&url, send(&url, request).await?))
    }
}

/// Reads the batches out of an event stream. Events of other names are left out.
fn read_events(
    url: &reqwest::Url,
    response: Response,
) -> impl Stream<Item = Result<Batch, ClientError>> + Send + use<> {
    let url = url.clone();
    response.bytes_stream().eventsource().filter_map(move |message| {
        let batch = match message {
            Ok(message) if message.event != BATCH_EVENT => None,
            Ok(message) => Some(
                serde_json::from_str(&message.data)
                    .map_err(|error| ClientError::Unreadable(format!("{url}: {error} in {}", message.data))),
            ),
            Err(error) => Some(Err(ClientError::unreachable(&url, &error))),
        };
        std::future::ready(batch)
    })
}

#[cfg(test)]
mod tests;
