//! Gateway process under test, with its Redis, its store and paced workers.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Queue, QueueArgs};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::store::{FolderStore, Store};
use csm_testing::byte_model::write_model;
use csm_testing::process::{Process, free_address, program_path};
use tempfile::TempDir;

use crate::core_plan::CorePlan;
use crate::paced_workers::{FleetSize, PacedFleet};
use crate::processor_time::Processes;

/// Settings of Redis. A backlog may be larger than that of `csm dev`, and no rewrite of the file
/// falls into a measurement.
const REDIS_SETTINGS: [&str; 4] = ["--maxmemory", "0", "--auto-aof-rewrite-percentage", "0"];
/// First part of every key.
const KEY_PREFIX: &str = "csm";
/// Longest time for retries of a command.
const PATIENCE: Duration = Duration::from_secs(20);

/// Folder in memory, on Linux.
const MEMORY_FOLDER: &str = "/dev/shm";

/// Place of Redis' file and of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DataPlace {
    /// Files in memory: a sync costs nothing, so the disk has no part in the delays.
    Memory,
    /// Files in the system's folder for temporary ones. Each answer of Redis waits for the disk.
    Disk,
}

impl DataPlace {
    /// Returns the name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory",
            Self::Disk => "on disk",
        }
    }

    fn folder(self) -> std::io::Result<TempDir> {
        match self {
            Self::Memory => TempDir::new_in(MEMORY_FOLDER),
            Self::Disk => TempDir::new(),
        }
    }
}

/// Running stack. Dropping it kills its processes.
pub(crate) struct GatewayStack {
    /// Address of the gateway's public API.
    pub(crate) address: SocketAddr,
    pub(crate) processes: Processes,
    pub(crate) fleet: PacedFleet,
    pub(crate) queue: Queue,
    _gateway: Process,
    _redis: LocalRedis,
    _folder: TempDir,
}

impl GatewayStack {
    /// Starts all of it and waits until the gateway is ready. Without a model, the gateway gets a
    /// byte-level tokenizer.
    pub(crate) async fn start(
        model: Option<&Path>,
        cores: &CorePlan,
        place: DataPlace,
        size: FleetSize,
    ) -> anyhow::Result<Self> {
        let folder = place.folder()?;
        let model = model.map_or_else(|| folder.path().join("model"), Path::to_owned);
        if model.starts_with(folder.path()) {
            write_model(&model);
        }
        let settings = REDIS_SETTINGS.map(str::to_owned).to_vec();
        let options = LocalRedisOptions { settings, ..LocalRedisOptions::default() };
        let redis = LocalRedis::spawn(&folder.path().join("redis"), &options).await?;
        let redis_args = RedisArgs::new(redis.url(), KEY_PREFIX);
        let queue = Queue::new(RedisClient::new(&redis_args, PATIENCE)?, &QueueArgs::default());
        let redis_pid = redis_pid(&queue).await?;
        cores.move_to_others(redis_pid).await?;
        let store_folder = folder.path().join("store");
        let store = Store::Folder(FolderStore::open(&store_folder)?);
        let (address, admin) = (free_address()?, free_address()?);
        let environment = environment(address, admin, &model, &store_folder, &redis_args);
        let (program, arguments) = cores.on_server_core(&program_path("csm-gateway")?);
        let log = File::create(folder.path().join("gateway.log"))?;
        let mut gateway = Process::start_file(&program, &arguments, &environment, Some(log))?;
        gateway.ready(admin).await.context("csm-gateway is not ready; `--model` must be a folder of a model")?;
        let server = gateway.id().context("csm-gateway has ended")?;
        let fleet = PacedFleet::start(&redis_args, &store, size)?;
        let processes = Processes { server, redis: Some(redis_pid) };
        Ok(Self { address, processes, fleet, queue, _gateway: gateway, _redis: redis, _folder: folder })
    }

    /// Ends the workers, then the processes.
    pub(crate) async fn stop(self) {
        self.fleet.stop().await;
    }
}

/// Returns the process id of a Redis.
async fn redis_pid(queue: &Queue) -> anyhow::Result<u32> {
    let text: String = queue.redis().command(redis::cmd("INFO").arg("server")).await?;
    let pid = text.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok());
    pid.context("Redis does not tell its process id")
}

fn environment(
    address: SocketAddr,
    admin: SocketAddr,
    model: &Path,
    store: &Path,
    redis: &RedisArgs,
) -> [(String, String); 6] {
    [
        ("CSM_LISTEN", address.to_string()),
        ("CSM_ADMIN_LISTEN", admin.to_string()),
        ("CSM_MODEL", model.display().to_string()),
        ("CSM_STORE", format!("folder:{}", store.display())),
        ("CSM_REDIS_URL", redis.redis_url.clone()),
        ("CSM_KEY_PREFIX", redis.key_prefix.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
