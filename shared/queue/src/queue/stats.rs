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
    /// Age of the oldest entry.
    pub oldest: Option<Duration>,
    /// Audio of the waiting jobs, as expected from their texts.
    pub waiting_audio: Duration,
    /// Audio of the running jobs, as expected from their texts.
    pub running_audio: Duration,
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
    /// Frames taken for each frame expected from the text, over recent jobs.
    pub frames_per_expected: f64,
    /// Living workers.
    pub workers: Vec<WorkerStatus>,
    /// True while an operator has closed the intake.
    pub closed: bool,
}

impl Queue {
    /// Reads the numbers, with one round trip for each shard.
    pub async fn stats(&self) -> Result<QueueStats, QueueError> {
        let mut stats = QueueStats { frames_per_expected: 0.0, ..QueueStats::empty() };
        for keys in &*self.shards {
            let answers: Vec<redis::Value> = self.redis.pipeline(&question(keys)).await?;
            stats.add(&mut Answers(answers.into_iter()))?;
        }
        stats.frames_per_expected /= self.shards.len() as f64;
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
    pipeline.cmd("ZCARD").arg(keys.leases()).cmd("ZCARD").arg(keys.delayed()).cmd("ZCARD").arg(keys.open());
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
            oldest: None,
            waiting_audio: Duration::ZERO,
            running_audio: Duration::ZERO,
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
            frames_per_expected: 1.0,
            workers: Vec::new(),
            closed: false,
        }
    }

    /// Predicts the wait of a job that joins `lane` now, or returns `None` while no worker has
    /// reported its rate. The wait is the lane's backlog divided by the lane's share of the fleet's
    /// rate. At most, the wait is the whole backlog divided by the whole rate. The scripts
    /// calculate the same (`predicted_wait` in `prelude.lua`), from what workers last reported of
    /// other shards.
    #[must_use]
    pub fn predicted_wait(&self, lane: Lane) -> Option<Duration> {
        if self.frames_per_second <= 0.0 {
            return None;
        }
        let frames = |lane: &LaneStats| lane.waiting_audio.as_secs_f64() * 1_000.0 / f64::from(FRAME_MS);
        let has_a_share = |other: &&LaneStats| other.lane == lane || !other.waiting_audio.is_zero();
        let all: f64 = self.lanes.iter().map(frames).sum();
        let own: f64 = self.lanes.iter().filter(|other| other.lane == lane).map(frames).sum();
        let weights: u32 = self.lanes.iter().filter(has_a_share).map(|other| other.lane.weight()).sum();
        let frames = all.min(own * f64::from(weights) / f64::from(lane.weight()));
        Duration::try_from_secs_f64(frames * self.frames_per_expected / self.frames_per_second).ok()
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
        self.frames_per_expected += number("ratio").unwrap_or(1_000) as f64 / 1_000.0;
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
