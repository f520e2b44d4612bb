//! JSON of `/v1/jobs` and `/v1/fleet`, as far as this program needs it.

use csm_shared::job::{AudioFormat, Delivery, JobState, Lane};
use serde::{Deserialize, Serialize};

/// Request for speech. Absent members take the gateway's defaults. Only the gateway validates the
/// values.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SpeechRequest {
    /// Text to speak.
    pub(crate) text: String,
    /// Speaker number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speaker: Option<i64>,
    /// Voice by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) voice: Option<String>,
    /// Tempo of the speech.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speed: Option<f64>,
    /// Delivery of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// Longest result, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_audio_length_ms: Option<u64>,
    /// Softmax temperature; 0 is greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    /// Number of codes kept in each draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topk: Option<u64>,
    /// Seed of the draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Lane of the queue, by urgency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<Lane>,
    /// Format of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<AudioFormat>,
}

/// Job as `POST` and `GET` show it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JobSummary {
    /// Id of the job.
    pub(crate) id: String,
    /// State of the job.
    pub(crate) status: JobState,
    /// Position in the queue while the job waits.
    #[serde(default)]
    queue: Option<QueuePosition>,
}

#[derive(Clone, Debug, Deserialize)]
struct QueuePosition {
    #[serde(default)]
    ahead: Option<u64>,
}

impl JobSummary {
    /// Returns how many jobs begin before this one; `None` if it does not wait.
    pub(crate) fn ahead(&self) -> Option<u64> {
        self.queue.as_ref().filter(|_| self.status == JobState::Queued)?.ahead
    }
}

/// Answer to a cancel.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CancelAnswer {
    /// Id of the job.
    pub(crate) id: String,
    /// `cancelled`, or `cancelling` until the job's worker has seen the request.
    pub(crate) status: String,
}

/// Numbers of the fleet, as far as they are about slots.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FleetDocument {
    workers: Vec<FleetWorker>,
}

#[derive(Clone, Debug, Deserialize)]
struct FleetWorker {
    slots: u64,
    running: u64,
}

/// Slots of all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FleetSlots {
    /// Slots in which a job runs.
    pub(crate) busy: u64,
    /// All slots.
    pub(crate) total: u64,
}

impl FleetDocument {
    /// Adds up the slots of all workers.
    pub(super) fn slots(&self) -> FleetSlots {
        let sum = |part: fn(&FleetWorker) -> u64| self.workers.iter().map(part).sum();
        FleetSlots { busy: sum(|worker| worker.running), total: sum(|worker| worker.slots) }
    }
}
