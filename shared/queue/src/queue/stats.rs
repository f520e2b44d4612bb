//! Numbers about the queue, for autoscaling, dashboards and operators.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use redis::FromRedisValue;
use redis::streams::StreamRangeReply;
use serde::Serialize;

use super::redis_keys::RedisKeys;
use super::worker_report::WorkerReport;
use super::{Queue, QueueError};
use csm_shared::audio::FRAME_MS;
use csm_shared::job::{JobState, Lane};

/// Numbers of a lane at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStats {
    /// The lane.
    pub lane: Lane,
    /// Entries of the lane: jobs that wait, and jobs that run.
    pub depth: u64,
    /// Jobs of the lane that run.
    pub running: u64,
    /// Jobs of the lane that wait, suspects and retries that are not yet due among them.
    pub waiting: u64,
    /// Age of the oldest entry.
    pub oldest: Option<Duration>,
    /// Cost of the waiting jobs as audio: each counts as the speech that takes as long.
    pub waiting_audio: Duration,
    /// Cost of the running jobs as audio.
    pub running_audio: Duration,
    /// Wait that a job would be told now; `None` while no worker has reported its rate, or while the
    /// lane is paused.
    pub wait: Option<Duration>,
    /// True while an operator holds the lane back.
    pub paused: bool,
}

/// A worker and its last report.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerStatus {
    /// Name of the worker.
    pub owner: String,
    /// Last report of the worker.
    pub report: WorkerReport,
}

/// Numbers of the queue at one moment, all shards together.
#[derive(Clone, Debug, Serialize)]
pub struct QueueStats {
    /// Numbers by lane, most urgent first.
    pub lanes: Vec<LaneStats>,
    /// Suspects: jobs that wait to run alone, or run alone.
    pub suspects: u64,
    /// Jobs under a lease.
    pub running: u64,
    /// Retries not yet due.
    pub delayed: u64,
    /// Jobs without a final state.
    pub open: u64,
    /// Dead letters.
    pub dead: u64,
    /// Jobs that have ended since the queue was created, by final state.
    pub ended: Vec<(JobState, u64)>,
    /// Frames a second that the living workers can make.
    pub frames_per_second: f64,
    /// Living workers.
    pub workers: Vec<WorkerStatus>,
    /// True while an operator has closed the intake.
    pub closed: bool,
}

impl Queue {
    /// Reads the numbers, with two round trips for each shard.
    pub async fn stats(&self) -> Result<QueueStats, QueueError> {
        let mut stats = QueueStats::empty();
        for keys in &*self.shards {
            let answers: Vec<redis::Value> = self.redis.pipeline(&question(keys)).await?;
            stats.add(&mut Answers(answers.into_iter()))?;
            for (lane, numbers) in stats.lanes.iter_mut().zip(self.lane_numbers(keys).await?) {
                lane.wait = lane.wait.max(numbers.wait);
                lane.running += numbers.running;
            }
        }
        stats.workers.sort_by(|a, b| a.owner.cmp(&b.owner));
        Ok(stats)
    }
}

/// Builds the commands for one shard, in the order in which [`QueueStats::add`] reads the answers.
fn question(keys: &RedisKeys) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("HGETALL").arg(keys.counters()).cmd("HGETALL").arg(keys.workers());
    for lane in Lane::ALL {
        let key = keys.lane(lane);
        pipeline.cmd("XLEN").arg(&key).cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
    }
    pipeline.cmd("XLEN").arg(keys.suspects()).cmd("XLEN").arg(keys.dead_letters());
    pipeline.cmd("ZCARD").arg(keys.leases()).cmd("ZCARD").arg(keys.delayed()).cmd("SCARD").arg(keys.open());
    pipeline
}

/// The answers to [`question`], one after another.
struct Answers(std::vec::IntoIter<redis::Value>);

impl Answers {
    fn next<T: FromRedisValue>(&mut self) -> Result<T, QueueError> {
        let value = self.0.next().unwrap_or(redis::Value::Nil);
        T::from_redis_value(value).map_err(|error| QueueError::Corrupt(format!("the queue's numbers: {error}")))
    }
}

impl QueueStats {
    /// Returns the numbers of an empty queue without workers.
    #[must_use]
    pub fn empty() -> Self {
        let lane = |lane| LaneStats {
            lane,
            depth: 0,
            running: 0,
            waiting: 0,
            oldest: None,
            waiting_audio: Duration::ZERO,
            running_audio: Duration::ZERO,
            wait: None,
            paused: false,
        };
        Self {
            lanes: Lane::ALL.map(lane).into(),
            suspects: 0,
            running: 0,
            delayed: 0,
            open: 0,
            dead: 0,
            ended: JobState::ALL.iter().copied().filter(|state| state.is_final()).map(|state| (state, 0)).collect(),
            frames_per_second: 0.0,
            workers: Vec::new(),
            closed: false,
        }
    }

    /// Returns the wait that a job of `lane` would be told now, or `None` if it is unknown.
    #[must_use]
    pub fn predicted_wait(&self, lane: Lane) -> Option<Duration> {
        self.lanes.iter().find(|other| other.lane == lane).and_then(|lane| lane.wait)
    }

    /// Adds one shard's numbers.
    fn add(&mut self, answers: &mut Answers) -> Result<(), QueueError> {
        let counters: HashMap<String, String> = answers.next()?;
        let workers: HashMap<String, String> = answers.next()?;
        let number = |name: &str| counters.get(name).and_then(|text| text.parse::<i64>().ok());
        let audio = |name: String| {
            let frames = number(&name).map_or(0, |frames| frames.max(0) as u64);
            Duration::from_millis(frames * u64::from(FRAME_MS))
        };
        for lane in &mut self.lanes {
            let name = lane.lane.name();
            lane.depth += answers.next::<u64>()?;
            let first: StreamRangeReply = answers.next()?;
            lane.oldest = lane.oldest.max(first.ids.first().and_then(|entry| age(&entry.id)));
            lane.waiting_audio += audio(format!("waiting:{name}"));
            // The jobs that wait are counted by their size.
            let sizes = format!("sizes:{name}:");
            let counts = counters.iter().filter(|(counter, _)| counter.starts_with(&sizes));
            lane.waiting += counts.filter_map(|(_, count)| count.parse::<u64>().ok()).sum::<u64>();
            lane.running_audio += audio(format!("running:{name}"));
            lane.paused |= counters.contains_key(&format!("paused:{name}"));
        }
        self.suspects += answers.next::<u64>()?;
        self.dead += answers.next::<u64>()?;
        self.running += answers.next::<u64>()?;
        self.delayed += answers.next::<u64>()?;
        self.open += answers.next::<u64>()?;
        for (state, ended) in &mut self.ended {
            *ended += number(&format!("ended:{state}")).map_or(0, |count| count.max(0) as u64);
        }
        // Each shard knows the rate of the whole fleet.
        self.frames_per_second = self.frames_per_second.max(number("capacity").unwrap_or(0) as f64 / 1_000.0);
        self.closed |= counters.contains_key("closed");
        for (name, status) in workers {
            let Some(owner) = name.strip_prefix("status:") else { continue };
            // A worker reports the same to every shard. A report of another build may be unreadable
            // here.
            if let Ok(report) = serde_json::from_str(&status)
                && !self.workers.iter().any(|known| known.owner == owner)
            {
                self.workers.push(WorkerStatus { owner: owner.to_owned(), report });
            }
        }
        Ok(())
    }
}

/// Returns the age of a stream entry, from the milliseconds in its id.
fn age(entry: &str) -> Option<Duration> {
    let added: i64 = entry.split('-').next()?.parse().ok()?;
    let elapsed = Timestamp::now().as_millisecond().saturating_sub(added);
    Some(Duration::from_millis(u64::try_from(elapsed).unwrap_or(0)))
}
