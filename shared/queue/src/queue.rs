//! The job queue: lanes as Redis Streams, the payload in a hash per job, every transition one Lua script.
//!
//! Promise: every accepted job reaches exactly one final state with exactly one committed result. Work may run more than
//! once; a write of a worker that lost its lease is refused by (owner, attempt), so nobody can see that it did.
//! Redis semantics this rests on: a script is atomic; a stream entry stays in the group's pending list until acknowledged.

mod claim;
mod dead_letters;
mod enqueue;
mod error;
mod janitor;
mod job_hash;
mod lease;
mod operate;
mod options;
mod redis_keys;
mod script;
mod stats;
mod ticket;
mod wake;
mod worker_report;

pub use claim::{Claim, Claimed, Claimer, HOLD_PAUSE, WorkerCapacity};
pub use dead_letters::DeadLetter;
pub use enqueue::{Cancel, Enqueue};
pub use error::QueueError;
pub use janitor::{Janitor, Reaped};
pub use lease::{Beat, Commit, Lease, LeaseRef, Retry, WorkerId};
pub use options::{QueueArgs, SHARDS_MAX};
pub use redis_keys::RedisKeys;
pub use stats::{LaneStats, QueueStats, WorkerStatus};
pub use ticket::{Durability, Ticket, fingerprint};
pub use wake::WakeListener;
pub use worker_report::{REPORT_EVERY, WorkerReport};

use std::sync::Arc;
use std::time::Duration;

use crate::redis_client::RedisClient;
use csm_shared::job::JobId;
use script::Scripts;

/// How long a job stays its worker's after the attempt's last sign of progress.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a worker beats for each lease it holds.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Attempts that may fail, or lose a worker that ran nothing else, before the job does.
pub const MAX_FAILED_ATTEMPTS: u32 = 3;
/// Waiting and running jobs of one lane and shard; beyond it new ones are refused.
pub const LANE_DEPTH_MAX: u64 = 1_000_000;
/// How long a job's record outlives its final state, and so how long an idempotency key is remembered.
pub const RECORD_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Retries moved per call and shard.
const PROMOTE_LIMIT: u32 = 64;

/// Cheap handle on the queue.
#[derive(Clone)]
pub struct Queue {
    redis: RedisClient,
    shards: Arc<[RedisKeys]>,
    options: Arc<QueueArgs>,
    scripts: Arc<Scripts>,
}

impl Queue {
    /// The queue behind a Redis client.
    #[must_use]
    pub fn new(redis: RedisClient, options: &QueueArgs) -> Self {
        Self::with_scripts(redis, options, Scripts::new())
    }

    fn with_scripts(redis: RedisClient, options: &QueueArgs, scripts: Scripts) -> Self {
        let shards = (0..options.queue_shards.max(1)).map(|shard| RedisKeys::new(redis.prefix(), shard)).collect();
        let (options, scripts) = (Arc::new(options.clone()), Arc::new(scripts));
        Self { redis, shards, options, scripts }
    }

    /// The Redis client underneath.
    #[must_use]
    pub const fn redis(&self) -> &RedisClient {
        &self.redis
    }

    /// The keys of the shard that a job lives on.
    fn shard_of(&self, id: &JobId) -> &RedisKeys {
        &self.shards[usize::from(id.spread(self.shards.len() as u16))]
    }
}

/// Whole milliseconds, as scripts take durations.
const fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests;
