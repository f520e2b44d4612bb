//! The whole fleet in one process: a private Redis, a folder as store, the gateway, and workers
//! with an engine each.
//!
//! Every setting is a value in this file. So a `CSM_REDIS_URL` or `CSM_STORE` of the shell cannot
//! point the fleet at another one's data.

mod choose;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use csm_engine::engine::{DeviceChoice, MAX_SLOTS};
use csm_engine::model::WeightChoice;
use csm_gateway::{GatewayArgs, IdSecretArgs};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::QueueArgs;
use csm_queue::redis_client::RedisArgs;
use csm_shared::models::HubOptions;
use csm_shared::process::descriptors;
use csm_shared::process::telemetry::start_metrics;
use csm_shared::store::{StoreArgs, StoreLocation};
use csm_shared::watermark::WatermarkKeyArgs;
use csm_worker::Worker;
use csm_worker::config::{PREFIX_CACHE_MB, WorkerArgs};
use csm_worker::marks::MarkArgs;
use csm_worker::provenance::ProvenanceArgs;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use choose::{ChosenModel, ModelChoice, choose};

/// Any free port of this machine.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Default address of the API.
pub(crate) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Most workers in one process; each loads its own copy of the model.
const WORKERS_MAX: u8 = 8;
/// Longest time for running jobs to finish after a stop was asked for. Then they wait in the queue
/// for the next start.
const DRAIN: Duration = Duration::from_secs(30);
/// Longest orderly end of one part, above every grace period that a part has itself.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Settings of a fleet on this machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct FleetArgs {
    /// `auto`, `tiny`, a hub id such as unsloth/csm-1b, or a folder
    #[arg(long, default_value = "auto", value_name = "MODEL")]
    model: ModelChoice,
    /// Folder for Redis' file, the audio and the tiny model
    #[arg(long, default_value = ".data", value_name = "DIR")]
    data: PathBuf,
    /// Workers, each with the model in its own memory
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(WORKERS_MAX)))]
    workers: u8,
    /// Jobs that a worker runs at once
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64))]
    slots: u8,
    /// Number format of the model's matrices: f32, q8_0, q4_k, or auto (q8_0 on the CPU)
    #[arg(long, env = "CSM_WEIGHTS", default_value = "auto", value_name = "FORMAT")]
    weights: WeightChoice,
    /// Secret of the watermark [default: the published development key]
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    pub(crate) watermark_key: Option<SecretString>,
    /// Earlier secrets whose marks are still to be found: one a line, or separated by commas
    #[arg(long, env = "CSM_WATERMARK_OLD_KEYS", hide_env_values = true, value_name = "SECRETS")]
    watermark_old_keys: Option<SecretString>,
    #[command(flatten)]
    marks: MarkArgs,
    #[command(flatten)]
    provenance: ProvenanceArgs,
    #[command(flatten)]
    hub: HubOptions,
}

/// Running fleet. [`LocalFleet::stop`] ends it in order; dropping it kills its Redis.
pub(crate) struct LocalFleet {
    /// Address of the API.
    pub(crate) address: SocketAddr,
    /// Addresses of health and metrics: the gateway's, then each worker's.
    pub(crate) admin_addresses: Vec<SocketAddr>,
    /// Model of the workers.
    pub(crate) model: ChosenModel,
    redis: LocalRedis,
    gateway: FleetPart,
    workers: Vec<FleetPart>,
    loaded: Vec<oneshot::Receiver<()>>,
    metrics_stop: CancellationToken,
}

impl LocalFleet {
    /// Starts everything; the API listens on `listen`. The workers may still be loading their model
    /// when this returns.
    pub(crate) async fn start(args: &FleetArgs, listen: SocketAddr) -> anyhow::Result<Self> {
        descriptors::raise_limit();
        let model = choose(&args.model, &args.data.join("models"), &args.hub).await?;
        let redis = LocalRedis::spawn(&args.data.join("redis"), &LocalRedisOptions::default()).await?;
        let metrics_stop = CancellationToken::new();
        let metrics = start_metrics(metrics_stop.clone())?;
        let settings = FleetSettings { args, model: &model, redis_url: redis.url() };

        let stop = CancellationToken::new();
        let gateway = csm_gateway::serve(&settings.gateway(listen), metrics.clone(), stop.clone()).await?;
        let address = gateway.address;
        let mut admin_addresses = vec![gateway.admin_address];
        let gateway = FleetPart::new("gateway".to_owned(), stop, async { Ok(gateway.join().await?) });

        let (mut workers, mut loaded) = (Vec::new(), Vec::new());
        for number in 1..=args.workers {
            let stop = CancellationToken::new();
            let worker = csm_worker::serve(&settings.worker(), metrics.clone(), stop.clone()).await?;
            admin_addresses.push(worker.admin_address);
            let (tell, told) = oneshot::channel();
            loaded.push(told);
            workers.push(FleetPart::new(format!("worker {number}"), stop, run_worker(worker, tell)));
        }
        Ok(Self { address, admin_addresses, model, redis, gateway, workers, loaded, metrics_stop })
    }

    /// Returns the API's base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until every worker has loaded its model and is warm. Fails if a part ends first. To be
    /// called once.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        for (worker, loaded) in self.workers.iter_mut().zip(&mut self.loaded) {
            tokio::select! {
                error = self.gateway.ended() => return Err(error),
                error = worker.ended() => return Err(error),
                Ok(()) = loaded => {}
            }
        }
        Ok(())
    }

    /// Waits for a part to end by itself, and returns which one and why.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let workers = self.workers.iter_mut().map(|worker| Box::pin(worker.ended()));
        tokio::select! {
            error = self.gateway.ended() => error,
            (error, ..) = futures::future::select_all(workers) => error,
        }
    }

    /// Ends the fleet in order. The gateway finishes its open requests, the workers finish their
    /// jobs or return them to the queue, and Redis writes its file. Returns the first failure after
    /// all have ended.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let mut ended = vec![self.gateway.stop().await];
        for worker in &self.workers {
            worker.stop.cancel();
        }
        for worker in self.workers {
            ended.push(worker.stop().await);
        }
        ended.push(self.redis.shutdown().await.map_err(Into::into));
        self.metrics_stop.cancel();
        ended.into_iter().collect()
    }
}

/// Gateway or worker that runs in a task.
struct FleetPart {
    name: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl FleetPart {
    fn new(
        name: String,
        stop: CancellationToken,
        life: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> Self {
        Self { name, stop, task: tokio::spawn(life) }
    }

    /// Waits until the part ends by itself, which is a failure, and returns the reason.
    async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("the {} ended by itself", self.name),
            Ok(Err(error)) => error.context(format!("the {} failed", self.name)),
            Err(error) => anyhow!(error).context(format!("the {} failed", self.name)),
        }
    }

    /// Lets the part finish its work. A part that had already ended was reported before.
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        if self.task.is_finished() {
            return Ok(());
        }
        let ended = tokio::time::timeout(STOP_LIMIT, self.task).await;
        ended
            .with_context(|| format!("the {} did not end within {} s", self.name, STOP_LIMIT.as_secs()))??
            .with_context(|| format!("the {} failed", self.name))
    }
}

/// Runs a worker to its end; sends to `loaded` once it is ready.
async fn run_worker(worker: Worker, loaded: oneshot::Sender<()>) -> anyhow::Result<()> {
    if worker.ready().await {
        // The receiver is gone if the fleet is stopped during loading.
        let _ = loaded.send(());
    }
    Ok(worker.join().await?)
}

/// Settings of the parts. Each value is set here; none is left to the environment.
struct FleetSettings<'a> {
    args: &'a FleetArgs,
    model: &'a ChosenModel,
    redis_url: String,
}

impl FleetSettings<'_> {
    fn gateway(&self, listen: SocketAddr) -> GatewayArgs {
        GatewayArgs {
            listen,
            admin_listen: ANY_PORT,
            model: self.model.source.clone(),
            redirect_audio: false,
            memory: None,
            drain: DRAIN,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            id_secret: IdSecretArgs::default(),
            redis: self.redis(),
            queue: QueueArgs::default(),
            store: self.store(),
            hub: self.model.hub.clone(),
            watermark: self.keys(),
        }
    }

    /// Returns the keys of the watermark: the development key if there is no secret.
    fn keys(&self) -> WatermarkKeyArgs {
        let secret = self.args.watermark_key.as_ref().filter(|secret| !secret.expose_secret().is_empty());
        WatermarkKeyArgs {
            watermark_key: secret.cloned(),
            development_watermark: secret.is_none(),
            watermark_old_keys: self.args.watermark_old_keys.clone(),
        }
    }

    fn worker(&self) -> WorkerArgs {
        WorkerArgs {
            model: self.model.source.clone(),
            slots: self.args.slots,
            reserve_slots: 1,
            device: DeviceChoice::Auto,
            weights: self.args.weights,
            threads: None,
            prefix_cache_mb: PREFIX_CACHE_MB,
            keys: self.keys(),
            marks: self.args.marks.clone(),
            provenance: self.args.provenance.clone(),
            drain: DRAIN,
            admin_listen: ANY_PORT,
            redis: self.redis(),
            queue: QueueArgs::default(),
            store: self.store(),
            hub: self.model.hub.clone(),
        }
    }

    fn redis(&self) -> RedisArgs {
        RedisArgs { redis_url: self.redis_url.clone(), key_prefix: "csm".to_owned() }
    }

    fn store(&self) -> StoreArgs {
        let location = StoreLocation::Folder(self.args.data.join("store"));
        StoreArgs { location, endpoint: None, region: None, path_style: None }
    }
}
