//! What a worker says of itself, every few seconds: for operators to read, and for the fleet's capacity, from which waits are
//! predicted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::call;
use super::{Queue, QueueError, WorkerId, ms};
use csm_shared::job::Lane;

/// How often a worker reports.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long a report is good for.
const REPORT_TTL: Duration = REPORT_EVERY.saturating_mul(4);

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
    pub async fn report(&self, worker_id: &WorkerId, report: &WorkerReport) -> Result<(), QueueError> {
        // A worker that drains adds nothing to what the fleet can do.
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

    /// Frames that wait in each lane, by shard; of a single shard, whose scripts know, nothing is asked.
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

    /// Takes a worker out of the list.
    pub async fn leave(&self, worker_id: &WorkerId) -> Result<(), QueueError> {
        for keys in &*self.shards {
            let mut script = call(&self.scripts.report, keys);
            script.arg(worker_id.as_str()).arg("").arg(0).arg(0);
            self.redis.script_once::<u64>(&script).await?;
        }
        Ok(())
    }
}
