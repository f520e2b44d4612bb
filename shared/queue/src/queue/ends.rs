//! The last ends of jobs, as the scripts that end jobs noted them. An operator reads why jobs ended.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Queue, QueueError};
use csm_shared::job::{JobId, JobState, Lane};

/// Ends that a shard keeps, and that a call returns; `LAST_ENDS_MAX` of `prelude.lua`.
pub const LAST_ENDS_MAX: usize = 100;

/// End of a job. It holds nothing of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// Id of the job.
    pub id: JobId,
    /// Time at which the job ended.
    pub at: Timestamp,
    /// Final state.
    pub state: JobState,
    /// The job's lane.
    pub lane: Lane,
    /// Tenant of the job.
    pub tenant: String,
    /// Number of claims.
    pub attempt: u64,
    /// Worker of the attempt that ended the job; `None` if the job ended while it waited.
    pub worker: Option<String>,
    /// Time from the last claim to the end; `None` if the job ended while it waited.
    pub ran: Option<Duration>,
    /// Finish reason of a success, or class of a failure.
    pub reason: Option<String>,
}

/// End as `note_end` of `prelude.lua` writes it.
#[derive(Deserialize)]
struct EndNote {
    id: String,
    at_ms: i64,
    state: JobState,
    lane: Lane,
    tenant: String,
    attempt: u64,
    worker: Option<String>,
    ran_ms: Option<i64>,
    reason: Option<String>,
}

impl EndNote {
    /// Returns the end; `None` if another version wrote the note and it cannot be read here.
    fn read(note: &str) -> Option<JobEnd> {
        let note: Self = serde_json::from_str(note).ok()?;
        Some(JobEnd {
            id: note.id.parse().ok()?,
            at: Timestamp::from_millisecond(note.at_ms).ok()?,
            state: note.state,
            lane: note.lane,
            tenant: note.tenant,
            attempt: note.attempt,
            worker: note.worker,
            ran: note.ran_ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs())),
            reason: note.reason,
        })
    }
}

impl Queue {
    /// Returns the last ends of all shards together, newest first, at most [`LAST_ENDS_MAX`].
    pub async fn last_ends(&self) -> Result<Vec<JobEnd>, QueueError> {
        let mut ends = Vec::new();
        for keys in &*self.shards {
            let mut range = redis::cmd("LRANGE");
            range.arg(keys.last_ends()).arg(0).arg(LAST_ENDS_MAX - 1);
            let notes: Vec<String> = self.redis.command(&range).await?;
            ends.extend(notes.iter().filter_map(|note| EndNote::read(note)));
        }
        ends.sort_by_key(|end: &JobEnd| std::cmp::Reverse(end.at));
        ends.truncate(LAST_ENDS_MAX);
        Ok(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prelude_keeps_as_many() {
        let prelude = include_str!("lua/prelude.lua");
        assert!(prelude.contains(&format!("local LAST_ENDS_MAX = {LAST_ENDS_MAX}\n")));
    }

    #[test]
    fn a_note_of_another_version_is_left_out() {
        let note = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","at_ms":1796000000000,"state":"expired","lane":"bulk",
            "tenant":"default","attempt":0}"#;
        let end = EndNote::read(note).expect("a note");
        assert_eq!((end.state, end.lane, end.attempt), (JobState::Expired, Lane::Bulk, 0));
        assert_eq!((end.worker, end.ran, end.reason), (None, None, None));
        for other in ["", "{}", &note.replace("bulk", "fast"), &note.replace("0189", "x")] {
            assert_eq!(EndNote::read(other), None, "{other}");
        }
    }
}
