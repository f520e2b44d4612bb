//! The JSON of `/v1/jobs`, as far as this program needs it.

use csm_shared::job::{AudioFormat, JobState, Lane};
use serde::{Deserialize, Serialize};

/// What to speak. Members that are absent take the gateway's defaults; the gateway alone judges the values.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SpeechRequest {
    /// The words.
    pub(crate) text: String,
    /// Who speaks them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speaker: Option<i64>,
    /// The longest result, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_audio_length_ms: Option<u64>,
    /// Softmax temperature; 0 is greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    /// Codes kept in each draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topk: Option<u64>,
    /// Seed of the draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// How urgent it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<Lane>,
    /// What the result is encoded in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<AudioFormat>,
}

/// A job as `POST` and `GET` show it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JobSummary {
    /// Its id.
    pub(crate) id: String,
    /// Where it stands.
    pub(crate) status: JobState,
    /// Its place in the queue, while it waits.
    #[serde(default)]
    queue: Option<QueuePosition>,
}

#[derive(Clone, Debug, Deserialize)]
struct QueuePosition {
    #[serde(default)]
    ahead: Option<u64>,
}

impl JobSummary {
    /// Jobs that will be begun before this one; `None` when it does not wait.
    pub(crate) fn ahead(&self) -> Option<u64> {
        self.queue.as_ref().filter(|_| self.status == JobState::Queued)?.ahead
    }
}

/// The answer to a cancel.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CancelAnswer {
    /// The job.
    pub(crate) id: String,
    /// `cancelled`, or `cancelling` while its worker still has to hear of it.
    pub(crate) status: String,
}
