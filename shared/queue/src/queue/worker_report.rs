//! Reports of workers, sent every few seconds. Operators read them, and they add up to the fleet's
//! capacity, from which waits are predicted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::call;
use super::{Queue, QueueError, WorkerId, ms};
use csm_shared::job::Lane;

/// Interval between two reports of a worker.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Time for which a report counts.
const REPORT_TTL: Duration = REPORT_EVERY.saturating_mul(4);

/// State of a worker at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Machine or pod of the worker.
    pub host: String,
    /// Model that the worker runs.
    pub model: String,
    /// Build of the worker.
    pub build: String,
    /// Jobs that the worker can run at once.
    pub slots: u8,
    /// Jobs that the worker runs now.
    pub running: u8,
    /// Frames a second of all slots together, measured over the last jobs from claim to commit; 0
    /// before the first.
    pub frames_per_second: f64,
    /// Frames made since the worker started.
    pub frames: u64,
    /// True once the worker claims nothing more.
    pub draining: bool,
}

impl Queue {
    /// Records a worker's report on every shard.
    pub async fn report(&self, worker_id: &WorkerId, report: &WorkerReport) -> Result<(), QueueError> {
        // A draining worker adds nothing to the fleet's capacity.
        let rate = if report.draining { 0.0 } else { report.frames_per_second };
        let capacity = (rate * 1_000.0) as u64;
        let (status, waiting) = (serde_json::to_string(report)?, self.waiting().await?);
        for (shard, keys) in self.shards.iter().enumerate() {
            let mut script = call(&self.scripts.report, keys);
            script.arg(worker_id.as_str()).arg(&status).arg(capacity).arg(ms(REPORT_TTL));
            for lane in 0..Lane::ALL.len() {
                let others = waiting.iter().enumerate().filter(|(other, _)| *other != shard);
                script.arg(others.map(|(_, frames)| frames[lane]).sum::<u64>());
            }
            self.redis.script_once::<u64>(&script).await?;
        }
        Ok(())
    }

    /// Reads the frames that wait in each lane, by shard. Reads nothing for a single shard, whose
    /// scripts know its own numbers.
    async fn waiting(&self) -> Result<Vec<[u64; Lane::ALL.len()]>, QueueError> {
        let mut waiting = vec![[0; Lane::ALL.len()]; self.shards.len()];
        if self.shards.len() > 1 {
            for (keys, frames) in self.shards.iter().zip(&mut waiting) {
                let mut read = redis::cmd("HMGET");
                read.arg(keys.counters()).arg(Lane::ALL.map(|lane| format!("waiting:{lane}")).as_slice());
                let counts: Vec<Option<i64>> = self.redis.command_once(&read).await?;
                for (frames, count) in frames.iter_mut().zip(counts) {
                    *frames = count.unwrap_or_default().max(0).unsigned_abs();
                }
            }
        }
        Ok(waiting)
    }

    /// Removes a worker from the list.
    pub async fn leave(&self, worker_id: &WorkerId) -> Result<(), QueueError> {
        for keys in &*self.shards {
            let mut script = call(&self.scripts.report, keys);
            script.arg(worker_id.as_str()).arg("").arg(0).arg(0);
            self.redis.script_once::<u64>(&script).await?;
        }
        Ok(())
    }
}
