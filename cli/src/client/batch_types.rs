//! JSON of `/v1/files` and `/v1/batches`, as far as this program needs it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::Display;

/// Uploaded file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct UploadedFile {
    /// Id of the file.
    pub(crate) id: String,
}

/// Request for a batch.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BatchRequest {
    /// Id of the uploaded input.
    pub(crate) input_file_id: String,
    /// Route whose requests the lines are.
    pub(crate) endpoint: String,
    /// Time within which the batch is to be done.
    pub(crate) completion_window: String,
    /// Names and values that the gateway keeps with the batch.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// State of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum BatchStatus {
    /// The input is being read.
    Validating,
    /// The input was refused.
    Failed,
    /// Lines are being spoken.
    InProgress,
    /// All lines have ended; the output files are being written.
    Finalizing,
    /// All lines have ended, well or not.
    Completed,
    /// The completion window ended first.
    Expired,
    /// Running lines are being stopped.
    Cancelling,
    /// The batch was cancelled.
    Cancelled,
}

impl BatchStatus {
    /// Returns true if the status never changes again.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

/// Batch at one moment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Batch {
    /// Id of the batch.
    pub(crate) id: String,
    /// State of the batch.
    pub(crate) status: BatchStatus,
    /// Unix time of the creation, in seconds.
    pub(crate) created_at: i64,
    /// Reasons why the input was refused.
    #[serde(default)]
    pub(crate) errors: Option<InputErrors>,
    /// Numbers of lines.
    #[serde(default)]
    pub(crate) request_counts: RequestCounts,
    /// Names and values of the batch's creator.
    #[serde(default)]
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    /// True while no new line begins.
    #[serde(default)]
    pub(crate) paused: bool,
    /// Number of complete shards: these are the first ones, in order.
    #[serde(default)]
    pub(crate) shards: u64,
    /// Audio of all completed lines, in milliseconds.
    #[serde(default)]
    pub(crate) audio_ms: u64,
}

/// Numbers of a batch's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct RequestCounts {
    /// Lines of the input; 0 until they are counted.
    pub(crate) total: u64,
    /// Lines that were spoken.
    pub(crate) completed: u64,
    /// Lines that failed.
    pub(crate) failed: u64,
}

impl RequestCounts {
    /// Returns the number of lines that have ended.
    pub(crate) const fn ended(self) -> u64 {
        self.completed + self.failed
    }
}

/// List of errors in an input.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct InputErrors {
    /// Errors in the input's order.
    pub(crate) data: Vec<InputError>,
}

/// Error in an input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct InputError {
    /// Short name of the error.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// Explanation of the error.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// Line of the input, counted from 1.
    #[serde(default)]
    pub(crate) line: Option<u64>,
}

/// Page of the list of batches, newest first.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BatchPage {
    /// Batches of the page.
    pub(crate) data: Vec<Batch>,
    /// True if older batches follow.
    #[serde(default)]
    pub(crate) has_more: bool,
}

/// Answer to the request to speak a line again.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RedoAnswer {
    /// Id of the new job.
    pub(crate) job: String,
}
