//! The processes of a run: Redis, and gateways and workers on the noise model, with a folder as
//! store. Each gateway and worker reaches Redis through a proxy of its own that can break the
//! connection.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use csm_engine::random_model::{self, FolderLayout};

use super::plan::{GATEWAYS, Target, WORKERS};
use crate::run_redis::{RedisUser, RunRedis};
use csm_testing::process::{Process, free_address, send_signal};
use csm_testing::proxy::FaultProxy;

/// Jobs that a worker runs at once.
const SLOTS: usize = 5;

/// Gateway or worker.
pub(super) struct Member {
    program: &'static str,
    name: String,
    births: u32,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    admin: SocketAddr,
    pub(super) process: Process,
    /// Proxy between this process and Redis.
    pub(super) line: FaultProxy,
}

impl Member {
    async fn start(
        program: &'static str,
        name: String,
        redis: &RunRedis,
        folder: &Path,
        more: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let line = FaultProxy::start(redis.address()).await?;
        let user = if program == "csm-gateway" { RedisUser::Gateway } else { RedisUser::Worker };
        let admin = free_address()?;
        let mut environment = redis.environment(user, line.address());
        environment.extend([
            pair("CSM_MODEL", folder.join("noise").display()),
            pair("CSM_STORE", format!("folder:{}", folder.join("store").display())),
            pair("CSM_LOG", "info"),
        ]);
        environment.extend(more);
        let args = vec!["--admin-listen".to_owned(), admin.to_string()];
        let log = folder.join("log").join(format!("{name}.log"));
        let process = spawn(program, &args, &environment, &name, 1, &log)?;
        Ok(Self { program, name, births: 1, args, environment, log, admin, process, line })
    }

    /// Returns the name of this process, new at every start. A worker's name in Redis begins with
    /// it.
    pub(super) fn tag(&self) -> String {
        format!("{}-{}", self.name, self.births)
    }

    /// Starts the program again on its old ports.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.births += 1;
        self.process = spawn(self.program, &self.args, &self.environment, &self.name, self.births, &self.log)?;
        Ok(())
    }
}

fn spawn(
    program: &str,
    args: &[String],
    environment: &[(String, String)],
    name: &str,
    births: u32,
    log: &Path,
) -> anyhow::Result<Process> {
    let mut environment = environment.to_vec();
    // A worker's name in Redis begins with its host's name.
    environment.push(pair("HOSTNAME", format!("{name}-{births}")));
    let log = File::options().create(true).append(true).open(log)?;
    Process::start(program, args, &environment, Some(log))
}

/// Whole fleet. Dropping it kills every process.
pub(super) struct SoakFleet {
    pub(super) redis: RunRedis,
    redis_pid: u32,
    pub(super) gateways: Vec<Member>,
    pub(super) workers: Vec<Member>,
    /// Addresses of the public API, one for each gateway.
    pub(super) addresses: Vec<SocketAddr>,
}

impl SoakFleet {
    /// Starts everything below `folder`, with a secured Redis or a plain one, and waits until all of it
    /// is ready.
    pub(super) async fn start(folder: &Path, secure: bool) -> anyhow::Result<Self> {
        for part in ["store", "log"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        random_model::make_noise(&folder.join("noise"), FolderLayout::Transformers)?;
        let redis = RunRedis::start(folder, secure).await?;
        let redis_pid = redis_pid(&redis.admin_url()).await?;
        let mut fleet = Self { redis, redis_pid, gateways: Vec::new(), workers: Vec::new(), addresses: Vec::new() };
        for number in 0..GATEWAYS {
            let address = free_address()?;
            let more = vec![pair("CSM_LISTEN", address)];
            let member = Member::start("csm-gateway", format!("gateway-{number}"), &fleet.redis, folder, more).await?;
            fleet.gateways.push(member);
            fleet.addresses.push(address);
        }
        for number in 0..WORKERS {
            let more = vec![
                pair("CSM_DEVICE", "cpu"),
                pair("CSM_DEVELOPMENT_WATERMARK", "true"),
                pair("CSM_SLOTS", SLOTS),
                // Four processes share the machine; threads that spin would take its cores from one
                // another.
                pair("CSM_THREADS", 1),
            ];
            let member = Member::start("csm-worker", format!("worker-{number}"), &fleet.redis, folder, more).await?;
            fleet.workers.push(member);
        }
        for member in fleet.gateways.iter_mut().chain(&mut fleet.workers) {
            let ready = member.process.ready(member.admin).await;
            ready.with_context(|| format!("see {}", member.log.display()))?;
        }
        Ok(fleet)
    }

    /// Returns a gateway or worker; `None` for Redis.
    pub(super) fn member(&mut self, target: Target) -> Option<&mut Member> {
        match target {
            Target::Worker(number) => self.workers.get_mut(number),
            Target::Gateway(number) => self.gateways.get_mut(number),
            Target::Redis => None,
        }
    }

    /// Sends Redis a signal, such as `STOP`.
    pub(super) async fn signal_redis(&self, signal: &str) -> anyhow::Result<()> {
        send_signal(self.redis_pid, signal).await
    }

    /// Kills Redis with SIGKILL and at once starts a new server on the same port and data.
    pub(super) async fn restart_redis(&mut self) -> anyhow::Result<()> {
        self.redis.restart().await?;
        self.redis_pid = redis_pid(&self.redis.admin_url()).await?;
        Ok(())
    }
}

/// Returns Redis' own process id.
async fn redis_pid(url: &str) -> anyhow::Result<u32> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    Ok(pid.context("INFO names no process_id")?.trim().parse()?)
}

fn pair(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}
