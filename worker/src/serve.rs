//! A whole worker in three phases: bind and check what can be checked at once, load the model, run
//! until stopped.

mod load_engine;
mod load_marks;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use csm_queue::detect_queue::DetectQueue;
use csm_queue::janitor::Janitor;
use csm_queue::live::{Live, Subscriptions};
use csm_queue::queue::{FleetIdentity, Queue, QueueError, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisClient, RedisFault};
use csm_shared::models::HubError;
use csm_shared::process::admin::{self, AdminError, Readiness};
use csm_shared::prompt::PromptError;
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ServedLanes, SpeechArgs, WorkerArgs, WorkerConfigError};
use crate::deletion_cost::OwnPod;
use crate::detect_service;
use crate::encode::AudioEncoder;
use crate::health::{Breaker, Checks};
use crate::marks::{ChosenPolicy, MarkError, Marker, WatermarkKey};
use crate::provenance::ProvenanceError;
use crate::runner::{Runner, RunnerEnd};
use crate::speak::{AttemptContext, PublishPace};
use csm_engine::engine::{Engine, EngineError};

pub(crate) use load_engine::load;

/// Longest time that a worker retries a call to Redis, such as the commit of a result.
const REDIS_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the detection task when a worker ends.
const DETECT_GRACE: Duration = Duration::from_secs(2);

/// Pause between two comparisons of a worker that differs from its fleet.
const FLEET_PAUSE: Duration = Duration::from_secs(2);

/// The reason that a worker did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Invalid setting.
    #[error(transparent)]
    Config(#[from] WorkerConfigError),
    /// Invalid settings of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name of this worker cannot be part of a key in the store.
    #[error(transparent)]
    Key(#[from] InvalidObjectKey),
    /// Invalid settings of Redis.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// Watermark failure: no speech may be generated.
    #[error("watermark: {0}")]
    Watermark(#[from] MarkError),
    /// Signing of files does not work.
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
    /// The port of health and metrics cannot be served.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The model cannot be found or downloaded.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The model did not load, or died.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The worker's task panicked.
    #[error("the worker's task: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A running worker.
pub struct Worker {
    /// Address of health and metrics.
    pub admin_address: SocketAddr,
    readiness: watch::Receiver<Readiness>,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// Waits until the model is loaded and warm. Returns false if the worker ended instead;
    /// [`Self::join`] returns the reason.
    pub async fn ready(&self) -> bool {
        self.readiness.clone().wait_for(|state| *state == Readiness::Ready).await.is_ok()
    }

    /// Waits until the worker ends.
    pub async fn join(self) -> Result<(), WorkerError> {
        self.task.await?
    }
}

/// Starts a worker. The worker loads its model, then claims jobs until `stop` is cancelled.
pub async fn serve(
    args: &WorkerArgs,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<Worker, WorkerError> {
    let speech = SpeechParts::new(&args.speech).await?;
    let store = args.store.build().await?;
    let redis = RedisClient::new(&args.redis, REDIS_WAIT_MAX)?;
    let (state, readiness) = watch::channel(Readiness::Starting { phase: "finding the model".into() });
    let admin_stop = CancellationToken::new();
    let admin_address = admin::serve(args.admin_listen, readiness.clone(), metrics, admin_stop.clone()).await?;
    let args = args.clone();
    let task = tokio::spawn(async move {
        let parts = WorkerParts { speech, store, redis };
        let ended = Box::pin(work(&args, parts, &state, &stop)).await;
        admin_stop.cancel();
        ended
    });
    Ok(Worker { admin_address, readiness, task })
}

/// Parts that are ready before the model is.
struct WorkerParts {
    speech: SpeechParts,
    store: Store,
    redis: RedisClient,
}

/// Keys, marks and encoder of the settings, before anything is loaded.
pub(crate) struct SpeechParts {
    pub(crate) key: WatermarkKey,
    /// Former keys whose marks are still searched for.
    old_keys: Vec<WatermarkKey>,
    /// Marker of the builtin mark only.
    marker: Marker,
    chosen: ChosenPolicy,
    pub(crate) encoder: AudioEncoder,
}

impl SpeechParts {
    /// Reads the settings, and decides on the marks.
    pub(crate) async fn new(args: &SpeechArgs) -> Result<Self, WorkerError> {
        let key = args.watermark_key()?;
        let old_keys = args.watermark_old_keys()?;
        let marker = Marker::new(&key)?;
        if key.id() == WatermarkKey::development().id() {
            tracing::warn!(key = %key.id(), "using published development key for watermark, its mark proves nothing");
        }
        let encoder = AudioEncoder::new(args.provenance.signer()?);
        let chosen = args.marks.choose(&args.hub).await;
        tracing::info!(policy = %chosen.policy, why = chosen.why, "chose watermark policy");
        Ok(Self { key, old_keys, marker, chosen, encoder })
    }

    /// Completes the marker as its policy asks.
    pub(crate) async fn marker(&self, state: &watch::Sender<Readiness>) -> Result<Marker, MarkError> {
        load_marks::complete(self.marker.clone(), &self.key, &self.chosen, state).await
    }
}

async fn work(
    args: &WorkerArgs,
    parts: WorkerParts,
    state: &watch::Sender<Readiness>,
    stop: &CancellationToken,
) -> Result<(), WorkerError> {
    let Some(marker) = stop.run_until_cancelled(parts.speech.marker(state)).await else { return Ok(()) };
    let marker = marker?;
    let loading = load(&args.speech, args.slots, state);
    let Some(loaded) = stop.run_until_cancelled(loading).await else { return Ok(()) };
    let (engine, tokenizer, voices) = loaded?;
    let host = host();
    let worker_id = WorkerId::of_this_process(&host);
    let keys = [vec![parts.speech.key], parts.speech.old_keys].concat();
    let identity = FleetIdentity {
        model: args.speech.model.name(),
        window: engine.info().max_positions,
        marks: keys.iter().map(|key| key.id().to_string()).collect(),
    };
    let queue = Queue::new(parts.redis.clone(), &args.queue).of_fleet(identity);
    let breaker = Breaker::default();
    let checks = Checks {
        queue: queue.clone(),
        store: parts.store.clone(),
        probe: ObjectKey::probe(worker_id.tag())?,
        marker: marker.clone(),
        encoder: parts.speech.encoder.clone(),
    };
    // Audio that cannot be stored should not be generated.
    if stop.run_until_cancelled(checks.check_store(&breaker)).await.is_none() {
        return Ok(());
    }
    if stop.run_until_cancelled(parts.redis.log_server()).await.is_none() {
        return Ok(());
    }
    if stop.run_until_cancelled(fleet_agrees(&queue, state)).await.is_none() {
        return Ok(());
    }
    let checks = tokio::spawn(checks.run(breaker.clone()));
    let live = Live::new(parts.redis.clone()).with_store(parts.store.clone());
    let janitor = tokio::spawn(Janitor::new(queue.clone(), live.clone()).run(stop.child_token()));
    let detect_stop = stop.child_token();
    let detection = serve_detection(&marker, keys, DetectQueue::new(parts.redis.clone()), &detect_stop);
    let runner = Runner {
        subscriptions: Subscriptions::start(parts.redis),
        context: AttemptContext {
            engine,
            tokenizer,
            marker,
            encoder: parts.speech.encoder,
            store: parts.store,
            breaker: breaker.clone(),
            voices,
            take_limits: args.speech.take_limits,
            publish_pace: if args.lanes == ServedLanes::Bulk { PublishPace::Seldom } else { PublishPace::Often },
            live: Some(live.clone()),
            worker: worker_id.to_string(),
        },
        capacity: WorkerCapacity {
            bulk_only: args.lanes == ServedLanes::Bulk,
            live_reserve: args.live_reserve_slots,
            reserve: args.reserve_slots,
            ..WorkerCapacity::empty(args.slots)
        },
        host,
        live,
        drain: args.drain,
        own_pod: OwnPod::of(&args.deletion_cost),
        worker_id,
        queue,
    };
    tracing::info!(worker = %runner.worker_id, slots = args.slots, "worker ready");
    let engine = runner.context.engine.clone();
    let end = tokio::select! {
        end = runner.run(stop.clone()) => end,
        never = show_readiness(state, &engine, &breaker, stop) => match never {},
    };
    checks.abort();
    janitor.abort();
    detect_stop.cancel();
    if let Some(detection) = detection {
        // Leaves time to deregister. A search that runs is not waited for.
        let _ = tokio::time::timeout(DETECT_GRACE, detection).await;
    }
    match end {
        RunnerEnd::Drained => Ok(()),
        RunnerEnd::EngineDied(why) => Err(why.into()),
    }
}

/// Starts the search for SilentCipher's mark in recordings of gateways, if the marker has that
/// mark. A search ends early on `stop`, because the process waits for its thread at the end.
fn serve_detection(
    marker: &Marker,
    keys: Vec<WatermarkKey>,
    queue: DetectQueue,
    stop: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let (mark, stop) = (marker.silentcipher()?, stop.clone());
    let detect = detect_service::silentcipher(mark, keys, stop.clone());
    Some(tokio::spawn(async move { queue.serve(detect, stop).await }))
}

/// Shows the probes whether the worker claims jobs, and why not.
async fn show_readiness(
    state: &watch::Sender<Readiness>,
    engine: &Engine,
    breaker: &Breaker,
    stop: &CancellationToken,
) -> Infallible {
    loop {
        let reason = breaker.reason();
        state.send_replace(match reason.clone() {
            None => Readiness::Ready,
            Some(reason) => Readiness::Degraded { reason },
        });
        tokio::select! {
            () = stop.cancelled() => {
                state.send_replace(Readiness::Draining);
                break;
            }
            why = engine.closed() => {
                state.send_replace(Readiness::Degraded { reason: why.to_string() });
                break;
            }
            () = breaker.reason_changed(reason.as_deref()) => {}
        }
    }
    std::future::pending().await
}

/// Waits until this worker agrees with its fleet, which logs what differs. A fault of Redis is no
/// disagreement: the loop of claims waits for Redis.
async fn fleet_agrees(queue: &Queue, state: &watch::Sender<Readiness>) {
    while let Err(QueueError::OtherFleet(mismatch)) = queue.agree().await {
        state.send_replace(Readiness::Degraded { reason: mismatch.to_string() });
        tokio::time::sleep(FLEET_PAUSE).await;
    }
}

/// Returns the host name, which is part of the worker's id.
pub(crate) fn host() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "worker".to_owned(), |name| name.trim().to_owned())
}
