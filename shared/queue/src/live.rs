//! The live channel of a job: its event stream in Redis is the truth, pub/sub only wakes.
//!
//! Event ids are `<attempt>-<sequence>`, so their order is the order of the story, and a worker that lost its lease cannot
//! write behind its successor: Redis refuses an id that is not above the last. Every story ends in one terminal event, at
//! the highest sequence of its attempt, so that it can be written by whoever knows of the end and only once. Where its
//! writer died first, a follower tells the end from the job's record: a cut never looks like an end.

mod audio_chunk;
mod event;
mod follow;
mod publish;
mod resume_point;
mod subscriptions;

pub use audio_chunk::AudioChunk;
pub use event::{Event, EventId, LiveEvent};
pub use resume_point::{CodesChunk, Origin, ResumePoint, SentenceFrame};
pub use subscriptions::{Subscription, Subscriptions};

use std::sync::Arc;

use crate::redis_client::{RedisClient, RedisFault};
use csm_shared::audio::{FRAME_MS, FRAME_SAMPLES};
use csm_shared::job::JobId;
use csm_shared::job::limits::LIVE_AUDIO_MS;

/// Events kept per job; a job of the longest length writes fewer. What they hold is bounded by the job: codes for each frame,
/// and samples for each frame of [`LIVE_AUDIO_MS`], written once however many attempts there are: 8 MB of base64.
const EVENTS_MAX: usize = 4_096;
/// Events fetched per read: all that a follower holds, however slow its caller is.
const READ_MAX: usize = 32;
/// Bytes of live audio that one read may bring.
const READ_AUDIO_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(READ_MAX * AudioChunk::BASE64_MAX <= READ_AUDIO_BYTES_MAX);
// One event for each frame, and one for each full load of samples, are more than are written.
const _: () = {
    let live_frames = LIVE_AUDIO_MS.max as usize / FRAME_MS as usize;
    let loads = live_frames * FRAME_SAMPLES / AudioChunk::SAMPLES_MAX;
    assert!(live_frames + loads <= EVENTS_MAX);
};
/// How long a job's events outlive their last write, in milliseconds.
const EVENTS_TTL_MS: u64 = 10 * 60 * 1_000;

/// Cheap handle that writes to the live channel.
#[derive(Clone)]
pub struct Live {
    redis: RedisClient,
    /// Adds an event and wakes.
    script: Arc<redis::Script>,
}

impl Live {
    /// The live channel behind a Redis client.
    #[must_use]
    pub fn new(redis: RedisClient) -> Self {
        Self { redis, script: Arc::new(redis::Script::new(include_str!("live/lua/publish.lua"))) }
    }

    /// Does again what failed, while Redis is away and patience lasts: for what followers cannot do without. Writing an
    /// event again under its id adds nothing.
    ///
    /// # Errors
    /// The last try's.
    pub async fn patiently<T, F: Future<Output = Result<T, RedisFault>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, RedisFault> {
        self.redis.patiently(attempt).await
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
