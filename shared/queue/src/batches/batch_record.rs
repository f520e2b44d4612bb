//! The record of a batch.

use std::collections::BTreeMap;

use csm_shared::job::Tenant;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// Most faults of a file that are listed.
pub const LINE_ERRORS_MAX: usize = 1_000;

/// State of a batch, under OpenAI's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BatchStatus {
    /// The lines are read and checked; none runs.
    Validating,
    /// The file was refused; no line ran.
    Failed,
    /// Lines are in the queue.
    InProgress,
    /// All lines have ended, and the output is joined.
    Finalizing,
    /// The output is there.
    Completed,
    /// The lines in the queue are cancelled.
    Cancelling,
    /// Ended by its caller; the output has the lines that were done.
    Cancelled,
    /// Ended by the end of its window; the output has the lines that were done.
    Expired,
}

impl BatchStatus {
    /// Returns true if the batch has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Cancelled | Self::Expired)
    }

    /// Returns the name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// API whose request bodies the lines of a batch hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
pub enum BatchEndpoint {
    /// OpenAI's speech API.
    #[serde(rename = "/v1/audio/speech")]
    #[strum(serialize = "/v1/audio/speech")]
    Speech,
    /// The native jobs API.
    #[serde(rename = "/v1/jobs")]
    #[strum(serialize = "/v1/jobs")]
    Jobs,
}

/// Format of an input file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum InputKind {
    /// A JSON object a line.
    Jsonl,
    /// Values with commas between, and a header.
    Csv,
    /// Values with tabs between, and a header.
    Tsv,
    /// A text a line.
    #[strum(serialize = "txt", serialize = "text")]
    Txt,
    /// SubRip subtitles: a cue a line.
    Srt,
    /// WebVTT subtitles: a cue a line.
    Vtt,
}

/// Fault of an input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineError {
    /// Stable code.
    pub code: String,
    /// Description of the fault, with value and limit.
    pub message: String,
    /// Field of the line; absent if the line as a whole is at fault.
    pub param: Option<String>,
    /// Line of the file, from 1; absent if the file as a whole is at fault.
    pub line: Option<u64>,
}

/// Times at which a batch entered its states, in Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchTimes {
    /// Time of creation.
    pub created_at: i64,
    /// End of the window.
    pub expires_at: i64,
    /// Time at which the lines were found good.
    pub in_progress_at: Option<i64>,
    /// Time at which the last line ended.
    pub finalizing_at: Option<i64>,
    /// Time at which the output was there.
    pub completed_at: Option<i64>,
    /// Time at which the file was refused.
    pub failed_at: Option<i64>,
    /// Time at which the window was over.
    pub expired_at: Option<i64>,
    /// Time at which the order to cancel was seen.
    pub cancelling_at: Option<i64>,
    /// Time at which the cancelled batch had ended.
    pub cancelled_at: Option<i64>,
}

/// Lines whose outcome is written: those of the shards before [`CommittedLines::shards`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedLines {
    /// Complete shards, from the beginning without a gap.
    pub shards: u64,
    /// Byte of the lines at which the next shard begins.
    pub offset: u64,
    /// Lines that were spoken.
    pub completed: u64,
    /// Lines that were not.
    pub failed: u64,
    /// Speech of the lines, in milliseconds.
    pub audio_ms: u64,
}

/// The record of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Id of the batch.
    pub id: String,
    /// Tenant that owns the batch.
    #[serde(with = "tenant_name")]
    pub tenant: Tenant,
    /// API of the lines.
    pub endpoint: BatchEndpoint,
    /// Id of the input file.
    pub input_file_id: String,
    /// Store key of the input file.
    pub input_key: String,
    /// Length of the input file, in bytes.
    pub input_bytes: u64,
    /// Format of the input file.
    pub input_kind: InputKind,
    /// Longest run, as the caller wrote it, such as `24h`.
    pub completion_window: String,
    /// Pairs that the caller gave.
    pub metadata: BTreeMap<String, String>,
    /// Seconds after the creation at which output and record are removed.
    pub expires_after: i64,
    /// State of the batch.
    pub status: BatchStatus,
    /// Times of the states.
    pub times: BatchTimes,
    /// Store key of the lines as JSON, once the file was found good.
    pub lines_key: Option<String>,
    /// Length of these lines, in bytes.
    pub lines_bytes: u64,
    /// Number of lines.
    pub total: u64,
    /// Lines with a written outcome.
    pub committed: CommittedLines,
    /// Lines that were spoken, written or not.
    pub completed: u64,
    /// Lines that failed, written or not.
    pub failed: u64,
    /// Faults of the file, [`LINE_ERRORS_MAX`] at most.
    pub errors: Vec<LineError>,
    /// Number of times that lines were spoken again after the end; each has files of its own.
    #[serde(default)]
    pub takes: u64,
    /// Id of the file with the spoken lines, if there are any.
    pub output_file_id: Option<String>,
    /// Id of the file with the other lines, if there are any.
    pub error_file_id: Option<String>,
}

impl BatchRecord {
    /// Returns the time at which an ended batch is forgotten, in Unix seconds.
    #[must_use]
    pub const fn forget_at(&self) -> i64 {
        self.times.created_at + self.expires_after
    }
}

/// Tenants as text.
pub(super) mod tenant_name {
    use csm_shared::job::Tenant;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::batches) fn serialize<S: Serializer>(tenant: &Tenant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(tenant.as_str())
    }

    pub(in crate::batches) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tenant, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
