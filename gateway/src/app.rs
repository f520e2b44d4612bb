//! Parts that all requests share, built once: queue, live channel, store, and limits on memory.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use csm_queue::batches::Batches;
use csm_queue::live::{Live, Subscriptions};
use csm_queue::queue::{Queue, QueueError, TargetWaits};
use csm_queue::redis_client::{RedisClient, RedisFault};
use csm_queue::temporary_objects::TemporaryObjects;
use csm_shared::job::IdSecret;
use csm_shared::process::connections::ConnectionLimits;
use csm_shared::store::{Store, StoreError};
use csm_shared::watermark::WatermarkError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin_token::{AdminToken, AdminTokenError};
use crate::config::{self, GatewayArgs, IdSecretError};
use crate::detections::Detections;
use crate::http::body::BodyReader;
use crate::resources::{MemoryBudget, RecordingDecoder, SocketPlaces, connection_limits, memory_limit};
use crate::window_check::WindowCheck;

/// Longest fault of Redis that a question for the state of the moment waits out.
const STATUS_PATIENCE: Duration = Duration::from_secs(3);
/// Longest fault of Redis that a new request waits out before it is answered 503. Redis restarts in less
/// as a rule.
const NEW_REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// Longest fault of Redis that a call for an accepted job waits out.
const ACCEPTED_JOB_PATIENCE: Duration = Duration::from_secs(20);

/// Cheap handle on the parts that requests share.
#[derive(Clone)]
pub(crate) struct App(Arc<AppState>);

/// Queue for calls on behalf of accepted jobs: a call waits out a restart of Redis.
///
/// A type of its own, so that code for new requests cannot pick it by mistake.
pub(crate) struct PatientQueue(Queue);

impl PatientQueue {
    /// Returns the queue, for a call on behalf of a job that was accepted.
    pub(crate) const fn for_accepted_job(&self) -> &Queue {
        &self.0
    }
}

/// Parts behind [`App`].
pub(crate) struct AppState {
    /// Queue for questions about the state of the moment, of probes and people.
    pub(crate) status_queue: Queue,
    /// Queue for new requests: a call fails before its caller gives up, if Redis is away.
    pub(crate) queue: Queue,
    /// Queue for calls on behalf of accepted jobs.
    pub(crate) patient_queue: PatientQueue,
    /// Channel on which the gateway publishes the ends of jobs that it ends itself.
    pub(crate) live: Live,
    /// Subscriptions to the events of jobs.
    pub(crate) subscriptions: Subscriptions,
    /// Records of files and batches.
    pub(crate) batches: Batches,
    /// Wakes this gateway's feeder for a new batch.
    pub(crate) batch_created: Notify,
    /// Lines of one tenant's batches in the bulk lane at a time.
    pub(crate) batch_window: usize,
    /// Waits that the number of workers is chosen for.
    pub(crate) target_waits: TargetWaits,
    /// Store of finished audio.
    pub(crate) store: Store,
    /// Objects of the store that are removed after a time.
    pub(crate) temporary_objects: TemporaryObjects,
    /// Name of the model, as configured.
    pub(crate) model_name: String,
    /// Check of requests against the model's window.
    pub(crate) window_check: WindowCheck,
    /// True if audio is answered with a redirect, provided that the store can sign URLs.
    pub(crate) redirect_audio: bool,
    /// Tasks that outlive their request; the shutdown waits for them.
    pub(crate) tasks: TaskTracker,
    /// Start of the shutdown: idle followers leave, requests in progress finish.
    pub(crate) stop: CancellationToken,
    /// End of the grace: requests in progress are answered 503.
    pub(crate) late: CancellationToken,
    /// Memory that requests hold.
    pub(crate) memory: MemoryBudget,
    /// Reader of request bodies.
    pub(crate) bodies: BodyReader,
    /// Places in which recordings are decoded.
    pub(crate) decoder: RecordingDecoder,
    /// Places of open WebSockets.
    pub(crate) sockets: SocketPlaces,
    /// Bounds of the connections of the public port.
    pub(crate) connection_limits: ConnectionLimits,
    /// Search for marks in recordings.
    pub(crate) detections: Detections,
    /// Token of operators; without one nobody operates over HTTP.
    pub(crate) admin_token: Option<AdminToken>,
    /// Secret of the settings, from which idempotency keys become ids.
    id_secret: Option<IdSecret>,
}

/// Fault of the settings of a part that requests need.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Settings of Redis that cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// Settings of the store that cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Secret of ids that cannot be used.
    #[error(transparent)]
    IdSecret(#[from] IdSecretError),
    /// Token of operators that cannot be used.
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    /// Secret of the watermark that is no key.
    #[error("CSM_WATERMARK_KEY or CSM_WATERMARK_OLD_KEYS: {0}")]
    Watermark(#[from] WatermarkError),
}

impl App {
    /// Makes the parts, without a call over the network.
    pub(crate) async fn new(
        args: &GatewayArgs,
        window_check: WindowCheck,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let (id_secret, admin_token) = (args.id_secret.get()?, args.admin_token.get()?);
        let client = |patience| RedisClient::new(&args.redis, patience);
        let (status, redis) = (client(STATUS_PATIENCE)?, client(NEW_REQUEST_PATIENCE)?);
        let patient = client(ACCEPTED_JOB_PATIENCE)?;
        let identity = config::identity(args, window_check.max_positions())?;
        let (tasks, store) = (TaskTracker::new(), args.store.build().await?);
        let process_memory = memory_limit(args.memory.map(|mib| mib * 1_024 * 1_024));
        let memory = MemoryBudget::new(process_memory);
        tracing::info!(memory_mib = process_memory / 1_024 / 1_024, "limiting memory of process");
        Ok(Self(Arc::new(AppState {
            bodies: BodyReader::new(memory.clone(), tasks.clone(), stop.clone()),
            memory,
            decoder: RecordingDecoder::new(),
            connection_limits: connection_limits(process_memory),
            detections: Detections::new(config::detector(&args.watermark)?, status.clone()),
            status_queue: Queue::new(status, &args.queue).of_fleet(identity.clone()),
            queue: Queue::new(redis, &args.queue).of_fleet(identity),
            patient_queue: PatientQueue(Queue::new(patient.clone(), &args.queue)),
            batches: Batches::new(patient.clone()),
            batch_created: Notify::new(),
            batch_window: args.batch_window as usize,
            target_waits: args.target_wait.into(),
            live: Live::new(patient.clone()).with_store(store.clone()),
            subscriptions: Subscriptions::start(patient.clone()).with_store(store.clone()),
            temporary_objects: TemporaryObjects::new(patient, store.clone()),
            store,
            model_name: args.model.name(),
            window_check,
            redirect_audio: args.redirect_audio,
            tasks,
            stop,
            late: CancellationToken::new(),
            sockets: SocketPlaces::new(),
            admin_token,
            id_secret,
        })))
    }

    /// Returns the secret from which idempotency keys become ids: the one of the settings, else the
    /// one that the gateways share in Redis.
    pub(crate) async fn id_secret(&self) -> Result<IdSecret, QueueError> {
        match &self.id_secret {
            Some(secret) => Ok(secret.clone()),
            None => self.queue.id_secret().await,
        }
    }
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}
