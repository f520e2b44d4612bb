//! The outcome of a line, as one line of the output or of the errors: OpenAI's shape, with the facts of
//! the audio as the body of the answer.

use bytes::Bytes;
use csm_shared::job::{InputWarnings, JobId, JobRecord, JobState, Receipt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request_line::{Cue, RequestLine};

/// HTTP status that a spoken line has in the output.
const SPOKEN_STATUS: u16 = 200;

/// Reason why a line was not spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineFailure {
    /// Stable code.
    pub(super) code: String,
    /// Description of what happened.
    pub(super) message: String,
}

/// The outcome of a line. Serialised, it is a line of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    id: String,
    pub(super) custom_id: String,
    pub(super) line: u64,
    pub(super) response: Option<Response>,
    pub(super) error: Option<LineFailure>,
}

/// Answer to a line that was spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Response {
    status_code: u16,
    request_id: String,
    pub(super) body: Value,
}

impl Outcome {
    /// Makes the outcome of an ended job. `None` for a job that has not ended.
    pub(super) fn of_record(line: &RequestLine, record: &JobRecord) -> Option<Self> {
        let message = || record.failure.as_ref().map_or_else(String::new, |failure| failure.message.clone());
        match (record.state, &record.receipt) {
            (JobState::Succeeded, Some(receipt)) => Some(Self::spoken(line, record, receipt)),
            // Another gateway has noted the outcome and dropped the receipt.
            (JobState::Succeeded, None) => None,
            (JobState::Failed, _) => Some(Self::failed(line, record.id, "job_failed", message())),
            (JobState::Cancelled, _) => {
                Some(Self::failed(line, record.id, "job_cancelled", "The job was cancelled.".to_owned()))
            }
            (JobState::Expired, _) => {
                Some(Self::failed(line, record.id, "job_expired", "The job waited longer than it may.".to_owned()))
            }
            _ => None,
        }
    }

    /// Makes the outcome of a line that was not spoken.
    pub(super) fn failed(line: &RequestLine, job: JobId, code: &str, message: String) -> Self {
        let error = Some(LineFailure { code: code.to_owned(), message });
        Self { id: id(job), custom_id: line.custom_id.clone(), line: line.line, response: None, error }
    }

    fn spoken(line: &RequestLine, record: &JobRecord, receipt: &Receipt) -> Self {
        let body = warned(body(line, record.id, record.attempt, receipt), &record.warnings);
        let response = Response { status_code: SPOKEN_STATUS, request_id: record.id.to_string(), body };
        let (custom_id, line) = (line.custom_id.clone(), line.line);
        Self { id: id(record.id), custom_id, line, response: Some(response), error: None }
    }

    /// Returns true if the line was spoken.
    pub(super) const fn is_spoken(&self) -> bool {
        self.response.is_some()
    }

    /// Returns the duration of the audio, in milliseconds; 0 without audio.
    pub(super) fn audio_ms(&self) -> u64 {
        self.response.as_ref().and_then(|response| response.body["duration_ms"].as_u64()).unwrap_or_default()
    }
}

/// Writes outcomes as the lines of a shard.
pub(super) fn to_lines<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> serde_json::Result<Bytes> {
    let mut text = Vec::new();
    for outcome in outcomes {
        serde_json::to_writer(&mut text, outcome)?;
        text.push(b'\n');
    }
    Ok(text.into())
}

fn id(job: JobId) -> String {
    format!("batch_req_{}", uuid::Uuid::from(job).simple())
}

/// Returns the facts of a line's audio.
pub(super) fn body(line: &RequestLine, job: JobId, attempts: u64, receipt: &Receipt) -> Value {
    let mut body = json!({
        "custom_id": line.custom_id,
        "line": line.line,
        "job": job.to_string(),
        "key": receipt.location,
        "sha256": receipt.sha256,
        "bytes": receipt.bytes,
        "format": receipt.format,
        "samples": receipt.samples,
        "duration_ms": receipt.duration_ms,
        "seed": receipt.seed,
        "model": receipt.model,
        "voice": receipt.voice,
        "watermarks": receipt.watermarks,
        "finish_reason": receipt.finish_reason,
        "attempts": attempts,
    });
    if !receipt.warnings.is_empty() {
        body["warnings"] = json!(receipt.warnings);
    }
    if !receipt.turns.is_empty() {
        body["turns"] = json!(receipt.turns);
    }
    if let Some(Cue { start_ms, end_ms }) = line.cue {
        body["cue"] = json!({"start_ms": start_ms, "end_ms": end_ms});
    }
    body
}

/// Adds the warnings about a line's request to the facts of its audio.
pub(super) fn warned(mut body: Value, warnings: &InputWarnings) -> Value {
    if !warnings.is_empty() {
        body["input_warnings"] = json!(warnings);
    }
    body
}
