//! A gateway in this process, whose allocations are counted, with its Redis and the noise model's
//! tokenizer. No worker runs.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use csm_engine::random_model::{self, FolderLayout};
use csm_gateway::{Gateway, GatewayArgs, serve};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::Queue;
use csm_queue::redis_client::RedisClient;
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest fault of Redis that closing the intake waits out.
const PATIENCE: Duration = Duration::from_secs(3);
/// Settings of Redis without a file: its data is not needed after a crash.
const NO_FILE: [&str; 2] = ["--appendonly", "no"];

/// Running gateway.
pub(super) struct FuzzGateway {
    pub(super) address: SocketAddr,
    queue: Queue,
    _gateway: Gateway,
    _stop: DropGuard,
    _redis: LocalRedis,
    _folder: TempDir,
}

/// The gateway's settings, with its own defaults.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl FuzzGateway {
    /// Starts a gateway on a free port.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("csm-fuzz-").tempdir()?;
        let (model, store) = (folder.path().join("noise"), folder.path().join("store"));
        random_model::make_noise(&model, FolderLayout::Transformers)?;
        std::fs::create_dir_all(&store)?;
        let redis = redis_without_file(&folder).await?;
        let store = format!("folder:{}", store.display());
        let args = Settings::try_parse_from([
            "gateway",
            "--listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
            &format!("--redis-url={}", redis.url()),
            &format!("--model={}", model.display()),
            &format!("--store={store}"),
        ])?;
        let stop = CancellationToken::new();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let gateway = Box::pin(serve(&args.gateway, metrics, stop.clone())).await?;
        let address = gateway.address;
        let queue = Queue::new(RedisClient::new(&args.gateway.redis, PATIENCE)?, &args.gateway.queue);
        Ok(Self { address, queue, _gateway: gateway, _stop: stop.drop_guard(), _redis: redis, _folder: folder })
    }

    /// Closes the intake, so that each valid request is answered at once.
    pub(super) async fn close_intake(&self) -> anyhow::Result<()> {
        Ok(self.queue.close(true).await?)
    }
}

/// Starts a Redis that keeps its data in memory alone.
pub(super) async fn redis_without_file(folder: &TempDir) -> anyhow::Result<LocalRedis> {
    let settings = NO_FILE.map(str::to_owned).to_vec();
    let options = LocalRedisOptions { settings, ..LocalRedisOptions::default() };
    Ok(LocalRedis::spawn(&folder.path().join("redis"), &options).await?)
}
