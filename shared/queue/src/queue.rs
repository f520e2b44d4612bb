//! The job queue: lanes are Redis Streams, a job's payload is in a hash, and every transition is
//! one Lua script.
//!
//! Promise: every accepted job reaches exactly one final state with exactly one committed result.
//! Work may run more than once. A write by a worker that lost its lease is refused by (owner,
//! attempt), so the repetition is invisible from outside.
//!
//! The queue relies on two properties of Redis. A script is atomic. A stream entry stays in the
//! group's pending list until it is acknowledged.

mod claim;
mod dead_letters;
mod desired_slots;
mod ends;
mod enqueue;
mod error;
mod fleet;
mod housekeeping;
mod id_secret;
mod job_hash;
mod lease;
mod operate;
mod options;
mod redis_keys;
mod script;
mod stats;
mod ticket;
mod unclaimed;
mod wake;
mod worker_report;

pub use claim::{Claim, Claimed, Claimer, HOLD_PAUSE, WorkerCapacity};
pub use dead_letters::{DeadLetter, LetterFilter};
pub use desired_slots::TargetWaits;
pub use ends::{JobEnd, LAST_ENDS_MAX};
pub use enqueue::{Cancel, Enqueue};
pub use error::QueueError;
pub use fleet::{FleetIdentity, FleetMismatch};
pub use housekeeping::Reaped;
pub(crate) use housekeeping::{Batch, Housekeeping, REDIS_ABSENCE_MIN, STREAMS};
pub use lease::{Beat, Commit, Lease, LeaseRef, Retry, WorkerId};
pub use options::{QueueArgs, SHARDS_MAX};
pub use redis_keys::RedisKeys;
pub use stats::{LaneStats, QueueStats, WorkerStatus};
pub use ticket::{Durability, Ticket};
pub use unclaimed::Unclaimed;
pub use wake::WakeListener;
pub use worker_report::{REPORT_EVERY, WorkerReport};

use std::sync::Arc;
use std::time::Duration;

use crate::redis_client::RedisClient;
use csm_shared::job::JobId;
use fleet::FleetMember;
use script::Scripts;

/// Time that a lease lasts after the attempt's last sign of progress.
pub const LEASE: Duration = Duration::from_secs(15);
/// Interval between two heartbeats of a lease.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Failed attempts after which the job fails. A lost worker counts only if it ran nothing else.
pub const MAX_FAILED_ATTEMPTS: u32 = 3;
/// Most waiting and running jobs of one lane and shard; further jobs are refused.
pub const LANE_DEPTH_MAX: u64 = 1_000_000;
/// Time that a job's record outlives its final state, and so how long an idempotency key is
/// remembered. A dead letter is kept longer.
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
    member: Option<Arc<FleetMember>>,
}

impl Queue {
    /// Creates a handle on the queue behind a Redis client.
    #[must_use]
    pub fn new(redis: RedisClient, options: &QueueArgs) -> Self {
        Self::with_scripts(redis, options, Scripts::new())
    }

    fn with_scripts(redis: RedisClient, options: &QueueArgs, scripts: Scripts) -> Self {
        let shards = (0..options.queue_shards.max(1)).map(|shard| RedisKeys::new(redis.prefix(), shard)).collect();
        let (options, scripts) = (Arc::new(options.clone()), Arc::new(scripts));
        Self { redis, shards, options, scripts, member: None }
    }

    /// Makes the queue that of a process which must agree with its fleet: it enqueues and claims only
    /// while it does.
    #[must_use]
    pub fn of_fleet(mut self, identity: FleetIdentity) -> Self {
        self.member = Some(Arc::new(FleetMember::new(identity)));
        self
    }

    /// Returns the underlying Redis client.
    #[must_use]
    pub const fn redis(&self) -> &RedisClient {
        &self.redis
    }

    /// Returns the same queue through another client, which may have another patience.
    pub(crate) fn through(&self, redis: RedisClient) -> Self {
        Self { redis, ..self.clone() }
    }

    /// Returns the keys of the shard that a job lives on.
    fn shard_of(&self, id: &JobId) -> &RedisKeys {
        &self.shards[usize::from(id.spread(self.shards.len() as u16))]
    }
}

/// Converts a duration to whole milliseconds, as scripts take it.
const fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests;
