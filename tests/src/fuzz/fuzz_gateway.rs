//! A gateway in this process, whose allocations are counted, with its Redis and the tiny model's
//! tokenizer. No worker runs.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use csm_engine::random_model::{self, FolderLayout};
use csm_gateway::{Gateway, GatewayArgs, serve};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Queue, QueueArgs};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Settings of Redis without a file: its data is not needed after a crash.
const NO_FILE: [&str; 2] = ["--appendonly", "no"];

/// Longest fault of Redis that a call waits out.
const PATIENCE: Duration = Duration::from_secs(1);

/// Running gateway.
pub(super) struct FuzzGateway {
    pub(super) address: SocketAddr,
    _gateway: Gateway,
    _stop: DropGuard,
    redis: LocalRedis,
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
        let (model, store) = (folder.path().join("tiny"), folder.path().join("store"));
        random_model::make_tiny(&model, FolderLayout::Transformers)?;
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
        Ok(Self { address, _gateway: gateway, _stop: stop.drop_guard(), redis, _folder: folder })
    }

    /// Lets the queue take no job, so that no request waits for a worker.
    pub(super) async fn close_queue(&self) -> anyhow::Result<()> {
        Ok(queue_of(&self.redis)?.1.close(true).await?)
    }
}

/// Settings of the queue, with its own defaults.
#[derive(Parser)]
struct QueueSettings {
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    queue: QueueArgs,
}

/// Opens the queue of a Redis.
pub(super) fn queue_of(redis: &LocalRedis) -> anyhow::Result<(RedisClient, Queue)> {
    let settings = QueueSettings::try_parse_from(["queue", &format!("--redis-url={}", redis.url())])?;
    let client = RedisClient::new(&settings.redis, PATIENCE)?;
    Ok((client.clone(), Queue::new(client, &settings.queue)))
}

/// Starts a Redis that keeps its data in memory alone.
pub(super) async fn redis_without_file(folder: &TempDir) -> anyhow::Result<LocalRedis> {
    let settings = NO_FILE.map(str::to_owned).to_vec();
    let options = LocalRedisOptions { settings, ..LocalRedisOptions::default() };
    Ok(LocalRedis::spawn(&folder.path().join("redis"), &options).await?)
}
