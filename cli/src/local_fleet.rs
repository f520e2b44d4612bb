//! The whole fleet in one process: a private Redis, a folder as store, the gateway, and workers
//! with an engine each.
//!
//! The places of data are values in this file. So a `CSM_REDIS_URL` or `CSM_STORE` of the shell
//! cannot point the fleet at another one's data. Other users cannot read what the fleet writes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use csm_engine::engine::MAX_SLOTS;
use csm_gateway::{AdminTokenArgs, BATCH_WINDOW, GatewayArgs, IdSecretArgs, TargetWaitArgs};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions, SupervisedRedis, running_url};
use csm_queue::queue::QueueArgs;
use csm_queue::redis_client::RedisArgs;
use csm_shared::process::descriptors;
use csm_shared::process::shutdown::grace;
use csm_shared::process::telemetry::start_metrics;
use csm_shared::store::{StoreArgs, StoreLocation};
use csm_worker::Worker;
use csm_worker::config::{ServedLanes, WorkerArgs};
use csm_worker::deletion_cost::DeletionCostArgs;
use rustix::fs::Mode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::speech_args::{ChosenModel, SpeechArgs, choose};

/// Any free port of this machine.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Default address of the API.
pub(crate) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Default folder of the data.
pub(crate) const DEFAULT_DATA: &str = ".data";
/// First part of every key, here and by default in every fleet.
pub(crate) const KEY_PREFIX: &str = "csm";
/// Folder of Redis below that of the data.
const REDIS_FOLDER: &str = "redis";
/// Folder of the audio below that of the data.
const STORE_FOLDER: &str = "store";

/// Most workers in one process; each loads its own copy of the model.
const WORKERS_MAX: u8 = 8;
/// Longest orderly end of one part after its drain, above every grace period that it has itself.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// Longest end of the server, and of what the parts leave behind.
const END_MARGIN: Duration = Duration::from_secs(15);
/// Mode of the store's folder: its user alone.
const PRIVATE: u32 = 0o700;

/// Settings of a fleet on this machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct FleetArgs {
    #[command(flatten)]
    pub(crate) speech: SpeechArgs,
    /// Folder for Redis' file, the audio, and the models `tiny` and `noise`
    #[arg(long, default_value = DEFAULT_DATA, value_name = "DIR")]
    data: PathBuf,
    /// Address of the Wyoming protocol for Home Assistant, such as 127.0.0.1:10200 [default: not served]
    #[arg(long, env = "CSM_WYOMING", value_name = "ADDRESS")]
    wyoming: Option<SocketAddr>,
    /// Workers, each with the model in its own memory
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(WORKERS_MAX)))]
    workers: u8,
    /// Jobs that a worker runs at once
    #[arg(long, env = "CSM_SLOTS", default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64))]
    slots: u8,
    /// Slots that only live jobs may take; none if there is one slot only
    #[arg(long, env = "CSM_LIVE_RESERVE_SLOTS", default_value_t = 1, value_name = "N")]
    live_reserve_slots: u8,
    /// Further slots that bulk jobs may not take
    #[arg(long, env = "CSM_RESERVE_SLOTS", default_value_t = 1, value_name = "N")]
    reserve_slots: u8,
    /// Seconds for running jobs after a signal. Then they wait in the queue for the next start
    #[arg(long = "drain-seconds", env = "CSM_DRAIN_SECONDS", default_value = "30", value_name = "SECONDS", value_parser = grace)]
    drain: Duration,
    /// Memory that the gateway may use, in MiB [default: the container's limit, or half of the
    /// machine's memory and at most 4096]
    #[arg(long, env = "CSM_GATEWAY_MEMORY_MIB", value_name = "MIB", value_parser = clap::value_parser!(u64).range(512..=1_048_576))]
    memory: Option<u64>,
    /// Host names that requests may come to besides local ones, with commas in between
    #[arg(long, env = "CSM_ALLOWED_HOSTS", value_name = "NAMES", value_delimiter = ',')]
    allowed_hosts: Vec<String>,
    /// Origins of web pages that may use the gateway besides its own, with commas in between
    #[arg(long, env = "CSM_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    allowed_origins: Vec<String>,
    #[command(flatten)]
    id_secret: IdSecretArgs,
    #[command(flatten)]
    admin_token: AdminTokenArgs,
}

impl FleetArgs {
    /// Returns the longest orderly end of a fleet: gateway, then workers, then Redis.
    pub(crate) fn stop_limit(&self) -> Duration {
        (self.drain + STOP_MARGIN) * 2 + END_MARGIN
    }
}

/// Returns the URL of the Redis of the `csm dev` that runs with a data folder, if one does.
pub(crate) fn running_redis(data: &Path) -> Option<String> {
    running_url(&data.join(REDIS_FOLDER))
}

/// Running fleet. [`LocalFleet::stop`] ends it in order; dropping it kills its Redis.
pub(crate) struct LocalFleet {
    /// Address of the API.
    pub(crate) address: SocketAddr,
    /// Addresses of health and metrics: the gateway's, then each worker's.
    pub(crate) admin_addresses: Vec<SocketAddr>,
    /// Model of the workers.
    pub(crate) model: ChosenModel,
    redis: SupervisedRedis,
    stop_limit: Duration,
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
        // Payloads and audio are their caller's: Redis and all parts inherit this.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        make_private(&args.data.join(STORE_FOLDER))?;
        let model = choose(&args.speech.model, &args.data.join("models"), &args.speech.hub).await?;
        let options = LocalRedisOptions { socket: true, ..LocalRedisOptions::default() };
        let redis = LocalRedis::spawn(&args.data.join(REDIS_FOLDER), &options).await?.supervise();
        let metrics_stop = CancellationToken::new();
        let metrics = start_metrics(metrics_stop.clone())?;
        let settings = FleetSettings { args, model: &model, redis_url: redis.url().to_owned() };

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
        let stop_limit = args.drain + STOP_MARGIN;
        Ok(Self { address, admin_addresses, model, redis, stop_limit, gateway, workers, loaded, metrics_stop })
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
        let mut ended = vec![self.gateway.stop(self.stop_limit).await];
        for worker in &self.workers {
            worker.stop.cancel();
        }
        for worker in self.workers {
            ended.push(worker.stop(self.stop_limit).await);
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

    /// Lets the part finish its work within `limit`. A part that had already ended was reported
    /// before.
    async fn stop(self, limit: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        if self.task.is_finished() {
            return Ok(());
        }
        let ended = tokio::time::timeout(limit, self.task).await;
        ended
            .with_context(|| format!("the {} did not end within {} s", self.name, limit.as_secs()))??
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

/// Makes a folder that only this user can enter.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(PRIVATE)));
    made.with_context(|| format!("private folder {}", folder.display()))
}

/// Settings of the parts. The places of data are set here; none is left to the environment.
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
            wyoming: self.args.wyoming,
            scaler_listen: None,
            model: self.model.source.clone(),
            redirect_audio: false,
            memory: self.args.memory,
            drain: self.args.drain,
            batch_window: BATCH_WINDOW,
            target_wait: TargetWaitArgs::default(),
            former_drain: None,
            allowed_hosts: self.args.allowed_hosts.clone(),
            allowed_origins: self.args.allowed_origins.clone(),
            id_secret: self.args.id_secret.clone(),
            admin_token: self.args.admin_token.clone(),
            redis: self.redis(),
            queue: QueueArgs::default(),
            store: self.store(),
            hub: self.model.hub.clone(),
            watermark: self.args.speech.keys(),
        }
    }

    fn worker(&self) -> WorkerArgs {
        WorkerArgs {
            speech: self.args.speech.of_worker(self.model),
            slots: self.args.slots,
            lanes: ServedLanes::All,
            live_reserve_slots: self.args.live_reserve_slots,
            reserve_slots: self.args.reserve_slots,
            drain: self.args.drain,
            admin_listen: ANY_PORT,
            deletion_cost: DeletionCostArgs::default(),
            redis: self.redis(),
            queue: QueueArgs::default(),
            store: self.store(),
        }
    }

    fn redis(&self) -> RedisArgs {
        RedisArgs::new(self.redis_url.as_str(), KEY_PREFIX)
    }

    fn store(&self) -> StoreArgs {
        let location = StoreLocation::Folder(self.args.data.join(STORE_FOLDER));
        StoreArgs { location, endpoint: None, region: None, path_style: None }
    }
}
