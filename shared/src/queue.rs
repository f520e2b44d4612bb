//! The job queue: lanes as Redis Streams, the payload in a hash per job, every transition one Lua script.
//!
//! Promise: every accepted job reaches exactly one final state with exactly one committed result. Work may run more than
//! once; a write of a worker that lost its lease is refused by (owner, attempt), so nobody can see that it did.
//! Redis semantics this rests on: a script is atomic; a stream entry stays in the group's pending list until acknowledged.

mod claim;
mod enqueue;
mod error;
mod janitor;
mod keys;
mod lease;
mod record;
mod script;
mod stats;
mod wake;

pub use enqueue::{Cancel, Enqueue};
pub use error::QueueError;
pub use janitor::{Janitor, Reaped};
pub use keys::Keys;
pub use lease::{Beat, Commit, Lease, LeaseRef, Owner, Retry};
pub use stats::{LaneStats, QueueStats};
pub use wake::WakeListener;

use std::sync::Arc;
use std::time::Duration;

use crate::redis_client::RedisClient;
use script::Scripts;

/// How long a claim is good for without a beat.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a worker beats for each lease it holds.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Attempts that may fail, or lose their worker, before the job does.
pub const MAX_FAILED_ATTEMPTS: u32 = 3;
/// Waiting and running jobs of one lane; beyond it new ones are refused.
pub const LANE_DEPTH_MAX: u64 = 1_000_000;
/// How long a job's record outlives its final state.
pub const RECORD_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Cheap handle on the queue.
#[derive(Clone)]
pub struct Queue {
    redis: RedisClient,
    keys: Keys,
    scripts: Arc<Scripts>,
}

impl Queue {
    /// The queue behind a Redis client.
    #[must_use]
    pub fn new(redis: RedisClient) -> Self {
        let keys = Keys::new(redis.prefix());
        Self { redis, keys, scripts: Arc::new(Scripts::new()) }
    }

    /// The Redis client underneath.
    #[must_use]
    pub const fn redis(&self) -> &RedisClient {
        &self.redis
    }
}

#[cfg(test)]
mod tests;
