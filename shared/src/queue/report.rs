//! What a worker says of itself, every few seconds: for operators to read, and for the fleet's capacity, from which waits are
//! predicted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::call;
use super::{Owner, Queue, QueueError, ms};

/// How often a worker reports.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long a report is good for.
const GOOD_FOR: Duration = REPORT_EVERY.saturating_mul(4);

/// One worker at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The machine or pod.
    pub host: String,
    /// The model it speaks with.
    pub model: String,
    /// Its build.
    pub build: String,
    /// Jobs that it can run at once.
    pub slots: u8,
    /// Jobs that it runs.
    pub running: u8,
    /// Frames a second that all its slots together make, measured over its last jobs from claim to commit; 0 before the
    /// first.
    pub frames_per_second: f64,
    /// Frames made since it started.
    pub frames: u64,
    /// True once it claims nothing more.
    pub draining: bool,
}

impl Queue {
    /// Takes a worker's report, on every shard.
    pub async fn report(&self, owner: &Owner, report: &WorkerReport) -> Result<(), QueueError> {
        // A worker that drains adds nothing to what the fleet can do.
        let rate = if report.draining { 0.0 } else { report.frames_per_second };
        let capacity = (rate * 1_000.0 / self.shards.len() as f64) as u64;
        self.tell(owner, &serde_json::to_string(report)?, capacity).await
    }

    /// Takes a worker out of the list.
    pub async fn leave(&self, owner: &Owner) -> Result<(), QueueError> {
        self.tell(owner, "", 0).await
    }

    async fn tell(&self, owner: &Owner, status: &str, capacity: u64) -> Result<(), QueueError> {
        for keys in &*self.shards {
            let mut script = call(&self.scripts.report, keys);
            script.arg(owner.as_str()).arg(status).arg(capacity).arg(ms(GOOD_FOR));
            self.redis.script_once::<u64>(&script).await?;
        }
        Ok(())
    }
}
