//! The live channel of a job: its event stream in Redis is the truth, pub/sub only wakes.
//!
//! Event ids are `<attempt>-<sequence>`, so their order is the order of the story, and a worker that lost its lease cannot
//! write behind its successor: Redis refuses an id that is not above the last. Every story ends in one terminal event, at
//! the highest sequence of its attempt, so that it can be written by whoever knows of the end and only once. Where its
//! writer died first, a follower tells the end from the job's record: a cut never looks like an end.

mod event;
mod follow;
mod hub;
mod publish;

pub use event::{Event, EventId, LiveEvent};
pub use hub::{LiveHub, Seat};

use crate::job::JobId;
use crate::redis_client::RedisClient;

/// Events kept per job; a job of the longest length writes fewer.
const EVENTS_MAX: usize = 4_096;
/// How long a job's events outlive their last write, in milliseconds.
const EVENTS_TTL_MS: u64 = 10 * 60 * 1_000;

/// Cheap handle that writes to the live channel.
#[derive(Clone)]
pub struct Live {
    redis: RedisClient,
}

impl Live {
    /// The live channel behind a Redis client.
    #[must_use]
    pub const fn new(redis: RedisClient) -> Self {
        Self { redis }
    }
}

/// Event stream of a job, on a slot of its own.
fn stream_key(prefix: &str, id: &JobId) -> String {
    format!("{prefix}:{{j:{id}}}:ev")
}

/// Pub/sub channel of a job: a message means "read the stream".
fn wake_channel(prefix: &str, id: &JobId) -> String {
    format!("{prefix}:{{j:{id}}}:n")
}
