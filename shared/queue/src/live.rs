//! The live channel of a job: its event stream in Redis holds the events, and pub/sub only wakes
//! followers.
//!
//! Event ids are `<attempt>-<sequence>`, so their order is the order of the events. A worker that
//! lost its lease cannot write behind its successor, because Redis refuses an id that is not above
//! the last.
//!
//! Every stream ends in one terminal event, at the highest sequence of its attempt. With this fixed
//! id any process that knows of the end can write it, and only once. If the writer dies first, a
//! follower reads the end from the job's record. A cut-off stream never looks like one that has
//! ended.
//!
//! Live audio is large, and nothing is added after the end. The events of an ended live job
//! therefore move to the store ([`archive`]).

mod archive;
mod audio_chunk;
mod event;
mod event_log;
mod follow;
mod job_reader;
mod kept_speech;
mod publish;
mod resume_point;
mod subscriptions;

pub use audio_chunk::AudioChunk;
pub use event::{Event, EventId, LiveEvent};
pub use kept_speech::{KeptSentence, KeptSpeech, KeptSpeechError};
pub use resume_point::{CodesChunk, Origin, ResumePoint, ResumedSentence, SentenceFrame};
pub use subscriptions::{Subscription, Subscriptions};

use std::sync::Arc;

use crate::redis_client::{RedisClient, RedisFault};
use crate::temporary_objects::TemporaryObjects;
use csm_shared::audio::{FRAME_MS, FRAME_SAMPLES};
use csm_shared::job::JobId;
use csm_shared::job::limits::LIVE_AUDIO_MS;
use csm_shared::store::Store;
use tokio::sync::Semaphore;

/// Events kept per job; a job of the longest length writes fewer. The job bounds their size: codes
/// for each frame, and samples for each frame of [`LIVE_AUDIO_MS`]. Samples are written once,
/// however many attempts there are: 8 MB of base64.
const EVENTS_MAX: usize = 4_096;
/// Events fetched per read. A follower holds no more, however slow its caller is.
const READ_MAX: usize = 32;
/// Bytes of live audio that one read may bring.
const READ_AUDIO_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(READ_MAX * AudioChunk::BASE64_MAX <= READ_AUDIO_BYTES_MAX);
// Bound on the events with live audio: one for each frame, and one for each full load of samples.
const _: () = {
    let live_frames = LIVE_AUDIO_MS.max as usize / FRAME_MS as usize;
    let loads = live_frames * FRAME_SAMPLES / AudioChunk::SAMPLES_MAX;
    assert!(live_frames + loads <= EVENTS_MAX);
};
/// Archives that one process makes at the same time. Each takes up to 18 MB of its memory.
const ARCHIVES_AT_ONCE: usize = 2;
/// Time that a job's events outlive their last write, in milliseconds.
const EVENTS_TTL_MS: u64 = 10 * 60 * 1_000;

/// Cheap handle that writes to the live channel.
#[derive(Clone)]
pub struct Live {
    redis: RedisClient,
    scripts: Arc<LiveScripts>,
    /// Place of the archives and of kept speech; without one, the events of ended jobs stay in Redis
    /// until they expire.
    archives: Option<TemporaryObjects>,
    /// Places of archives that are being made.
    archiving: Arc<Semaphore>,
}

struct LiveScripts {
    /// Adds an event and wakes the followers.
    publish: redis::Script,
    /// Replaces the events of an ended job by its terminal event.
    archive: redis::Script,
}

impl Live {
    /// Creates a handle on the live channel behind a Redis client.
    #[must_use]
    pub fn new(redis: RedisClient) -> Self {
        let publish = redis::Script::new(include_str!("live/lua/publish.lua"));
        let archive = redis::Script::new(include_str!("live/lua/archive.lua"));
        Self {
            redis,
            scripts: Arc::new(LiveScripts { publish, archive }),
            archives: None,
            archiving: Arc::new(Semaphore::new(ARCHIVES_AT_ONCE)),
        }
    }

    /// Returns the handle with a store, to which the events of live jobs move when they end.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        let archives = TemporaryObjects::new(self.redis.clone(), store);
        Self { archives: Some(archives), ..self }
    }

    /// Repeats a failed write while Redis is unavailable and patience lasts, for events that
    /// followers cannot do without. Writing an event again under its id adds nothing.
    ///
    /// # Errors
    /// The fault of the last try.
    pub async fn patiently<T, F: Future<Output = Result<T, RedisFault>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, RedisFault> {
        self.redis.patiently(attempt).await
    }
}

/// Returns the key of a job's event stream, on a slot of its own.
fn stream_key(prefix: &str, id: &JobId) -> String {
    format!("{prefix}:{{j:{id}}}:ev")
}

/// Returns the name of a job's pub/sub channel. A message means "read the stream".
fn wake_channel(prefix: &str, id: &JobId) -> String {
    format!("{prefix}:{{j:{id}}}:n")
}
