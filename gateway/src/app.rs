//! What every request needs, built once: the queue, the live channel, the store, and the limits on what is held at a time.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use csm_queue::live::{Live, Subscriptions};
use csm_queue::queue::Queue;
use csm_queue::redis_client::{RedisClient, RedisFault};
use csm_shared::store::{Store, StoreError};
use csm_shared::watermark::WatermarkError;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::GatewayArgs;
use crate::detections::Detections;
use crate::window_check::WindowCheck;

/// How long a request waits out a fault of Redis before it is answered 503.
const REDIS_PATIENCE: Duration = Duration::from_secs(3);
/// How long those wait it out who already hold a job: longer than Redis needs to restart.
const HOLDER_PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of HTTP request bodies in memory at a time, over all requests.
const BODY_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// Unit in which that memory is handed out.
pub(crate) const BODY_MEMORY_UNIT: usize = 1024;
/// WebSockets open at a time.
const SOCKETS_MAX: usize = 1_024;

/// Cheap handle on everything that requests share.
#[derive(Clone)]
pub(crate) struct App(Arc<AppState>);

/// The parts behind [`App`].
pub(crate) struct AppState {
    /// The queue as a new request sees it: it gives up soon.
    pub(crate) queue: Queue,
    /// The queue for those who already hold a job: it waits out a restart of Redis.
    pub(crate) patient_queue: Queue,
    /// Announces the ends of jobs that the gateway brings about.
    pub(crate) live: Live,
    /// Follows jobs.
    pub(crate) subscriptions: Subscriptions,
    /// Finished audio.
    pub(crate) store: Store,
    /// Measures prompts.
    pub(crate) window_check: WindowCheck,
    /// Audio is answered with a redirect where the store can sign one.
    pub(crate) redirect_audio: bool,
    /// Work that outlives its request; waited for at the end.
    pub(crate) tasks: TaskTracker,
    /// The end was asked for: idle followers leave, requests in progress finish.
    pub(crate) stop: CancellationToken,
    /// The grace is over: requests in progress give up.
    pub(crate) late: CancellationToken,
    /// Memory for request bodies, in units of [`BODY_MEMORY_UNIT`].
    pub(crate) body_memory: Semaphore,
    /// Places for WebSockets.
    pub(crate) sockets: Arc<Semaphore>,
    /// Looks for marks in recordings.
    pub(crate) detections: Detections,
}

/// A part that requests need could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address of Redis is wrong.
    #[error("CSM_REDIS_URL: {0}")]
    Redis(#[from] RedisFault),
    /// The store's settings are wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret of the watermark is no key.
    #[error("CSM_WATERMARK_KEY or CSM_WATERMARK_OLD_KEYS: {0}")]
    Watermark(#[from] WatermarkError),
}

impl App {
    /// Makes the parts; nothing is asked over the network yet.
    pub(crate) async fn new(
        args: &GatewayArgs,
        window_check: WindowCheck,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let (redis, patient) =
            (RedisClient::new(&args.redis, REDIS_PATIENCE)?, RedisClient::new(&args.redis, HOLDER_PATIENCE)?);
        Ok(Self(Arc::new(AppState {
            detections: Detections::new(args.watermark.detector()?, redis.clone()),
            queue: Queue::new(redis, &args.queue),
            patient_queue: Queue::new(patient.clone(), &args.queue),
            live: Live::new(patient.clone()),
            subscriptions: Subscriptions::start(patient),
            store: args.store.build().await?,
            window_check,
            redirect_audio: args.redirect_audio,
            tasks: TaskTracker::new(),
            stop,
            late: CancellationToken::new(),
            body_memory: Semaphore::new(BODY_MEMORY_BYTES / BODY_MEMORY_UNIT),
            sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
        })))
    }
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}
