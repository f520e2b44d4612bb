//! Reports of workers, sent every few seconds. Operators read them, and they add up to the fleet's
//! capacity, from which waits are predicted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::call;
use super::{Queue, QueueError, RedisKeys, WorkerId, ms};
use csm_shared::job::Lane;

/// Interval between two reports of a worker.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Time for which a report counts.
const REPORT_TTL: Duration = REPORT_EVERY.saturating_mul(4);

/// State of a worker at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Slots that jobs of each lane may take, most urgent lane first.
    #[serde(default)]
    pub lane_slots: [u8; Lane::ALL.len()],
    /// Frames a second of all slots together, measured over the last jobs from their first frame to
    /// their last; 0 before the first job.
    pub frames_per_second: f64,
    /// Frames made since the worker started.
    pub frames: u64,
    /// True once the worker claims nothing more.
    pub draining: bool,
}

/// Numbers of a lane on one shard or several, as `waits.lua` answers them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneNumbers {
    /// Cost of the waiting jobs, in frames.
    frames: u64,
    /// Waiting jobs.
    jobs: u64,
    /// Running jobs.
    pub(super) running: u64,
    /// Time by the clock of Redis, in milliseconds, at which the first running job will likely end.
    first_end: u64,
    /// Time by the clock of Redis, in milliseconds, at which the last running job will likely end.
    last_end: u64,
    /// Wait that a job would be told now.
    pub(super) wait: Option<Duration>,
}

impl LaneNumbers {
    /// Numbers of one lane in an answer.
    const COUNT: usize = 6;

    fn read(numbers: &[i64]) -> Option<Self> {
        let &[frames, jobs, running, first_end, last_end, wait] = numbers else { return None };
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        Some(Self {
            frames: number(frames),
            jobs: number(jobs),
            running: number(running),
            first_end: number(first_end),
            last_end: number(last_end),
            wait: u64::try_from(wait).ok().map(Duration::from_millis),
        })
    }

    /// Adds the numbers of another shard.
    fn with(self, other: Self) -> Self {
        let first_end = match (self.running, other.running) {
            (0, _) => other.first_end,
            (_, 0) => self.first_end,
            _ => self.first_end.min(other.first_end),
        };
        Self {
            frames: self.frames + other.frames,
            jobs: self.jobs + other.jobs,
            running: self.running + other.running,
            first_end,
            last_end: self.last_end.max(other.last_end),
            wait: self.wait.max(other.wait),
        }
    }

    /// Formats the numbers as `lane_now` in `admission.lua` reads them.
    fn argument(self) -> String {
        let Self { frames, jobs, running, first_end, last_end, .. } = self;
        format!("{frames} {jobs} {running} {first_end} {last_end}")
    }
}

impl Queue {
    /// Records a worker's report on every shard.
    pub async fn report(&self, worker_id: &WorkerId, report: &WorkerReport) -> Result<(), QueueError> {
        // A worker that drains, or differs from its fleet, adds nothing to the fleet's capacity. The
        // comparison also keeps the fleet document while the worker is too busy to claim.
        let differs = matches!(self.agree().await, Err(QueueError::OtherFleet(_)));
        let (rate, slots) = if report.draining || differs {
            (0.0, [0; Lane::ALL.len()])
        } else {
            (report.frames_per_second, report.lane_slots)
        };
        let capacity = (rate * 1_000.0) as u64;
        let (status, lanes) = (serde_json::to_string(report)?, self.lanes_by_shard().await?);
        for (shard, keys) in self.shards.iter().enumerate() {
            let mut script = call(&self.scripts.report, keys);
            script.arg(worker_id.as_str()).arg(&status).arg(capacity).arg(ms(REPORT_TTL));
            script.arg(slots.map(|slots| slots.to_string()).join(" "));
            for lane in Lane::ALL {
                let others = lanes.iter().enumerate().filter(|(other, _)| *other != shard);
                let sum = others.map(|(_, lanes)| lanes[lane as usize]).fold(LaneNumbers::default(), LaneNumbers::with);
                script.arg(sum.argument());
            }
            self.redis.script_once::<u64>(&script).await?;
        }
        Ok(())
    }

    /// Reads the numbers of each lane by shard. Reads nothing for a single shard, whose scripts know
    /// its own numbers.
    async fn lanes_by_shard(&self) -> Result<Vec<[LaneNumbers; Lane::ALL.len()]>, QueueError> {
        let mut lanes = Vec::new();
        if self.shards.len() > 1 {
            for keys in &*self.shards {
                lanes.push(self.lane_numbers(keys).await?);
            }
        }
        Ok(lanes)
    }

    /// Reads the numbers of each lane on one shard.
    pub(super) async fn lane_numbers(&self, keys: &RedisKeys) -> Result<[LaneNumbers; Lane::ALL.len()], QueueError> {
        let numbers: Vec<i64> = self.redis.script_once(&call(&self.scripts.waits, keys)).await?;
        let mut lanes = numbers.chunks_exact(LaneNumbers::COUNT).map(LaneNumbers::read);
        let mut next = || lanes.next().flatten().ok_or_else(|| QueueError::Corrupt(format!("waits: {numbers:?}")));
        Ok([next()?, next()?, next()?])
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
