//! The processes of a run: Redis with its file on disk, two gateways, workers, and a folder as store.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use csm_engine::random_model::{self, FolderLayout};
use csm_testing::process::{Process, free_address};

use super::{BulkEngine, BulkOptions};
use crate::run_redis::{RedisUser, RunRedis};

/// Gateways of a run; any of them feeds.
pub(super) const GATEWAYS: usize = 2;

/// Process that is started again after a kill.
pub(super) struct Member {
    program: &'static str,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    pub(super) process: Process,
}

impl Member {
    fn start(
        program: &'static str,
        args: Vec<String>,
        environment: Vec<(String, String)>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let process = spawn(program, &args, &environment, &log)?;
        Ok(Self { program, args, environment, log, process })
    }

    /// Kills the process and starts it again at once.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill9().await?;
        self.process = spawn(self.program, &self.args, &self.environment, &self.log)?;
        Ok(())
    }
}

fn spawn(program: &str, args: &[String], environment: &[(String, String)], log: &Path) -> anyhow::Result<Process> {
    let log = File::options().create(true).append(true).open(log)?;
    Process::start(program, args, environment, Some(log))
}

/// Whole fleet. Dropping it kills every process.
pub(super) struct BulkFleet {
    pub(super) redis: RunRedis,
    pub(super) gateways: Vec<Member>,
    pub(super) workers: Vec<Member>,
    /// Addresses of the public API, one for each gateway.
    pub(super) addresses: Vec<SocketAddr>,
}

impl BulkFleet {
    /// Starts everything below `folder` and waits until the gateways are ready.
    pub(super) async fn start(folder: &Path, options: &BulkOptions) -> anyhow::Result<Self> {
        let (store, logs) = (folder.join("store"), folder.join("log"));
        std::fs::create_dir_all(&store)?;
        std::fs::create_dir_all(&logs)?;
        let model = match (&options.model, options.engine) {
            (Some(model), _) => model.clone(),
            (None, BulkEngine::Tiny) => PathBuf::from("cli/tiny/model"),
            (None, BulkEngine::Noop) => {
                let noise = folder.join("noise");
                random_model::make_noise(&noise, FolderLayout::Transformers)?;
                noise
            }
        };
        let redis = RunRedis::start(folder, options.secure).await?;
        let shared = vec![pair("CSM_STORE", format!("folder:{}", store.display())), pair("CSM_LOG", "info")];
        let [gateway, worker] =
            [RedisUser::Gateway, RedisUser::Worker].map(|user| redis.environment(user, redis.address()));
        let with =
            |user: &Vec<(String, String)>, more: Vec<(String, String)>| [user.clone(), shared.clone(), more].concat();
        let mut fleet = Self { redis, gateways: Vec::new(), workers: Vec::new(), addresses: Vec::new() };
        for number in 0..GATEWAYS {
            let (address, admin) = (free_address()?, free_address()?);
            let more = vec![pair("CSM_LISTEN", address), pair("CSM_MODEL", model.display())];
            let environment = with(&gateway, more);
            let args = vec!["--admin-listen".to_owned(), admin.to_string()];
            let log = logs.join(format!("gateway-{number}.log"));
            let mut member = Member::start("csm-gateway", args, environment, log)?;
            member.process.ready(admin).await.with_context(|| format!("see {}", member.log.display()))?;
            fleet.gateways.push(member);
            fleet.addresses.push(address);
        }
        for number in 0..options.workers {
            let log = logs.join(format!("worker-{number}.log"));
            let (program, args, more) = match options.engine {
                BulkEngine::Noop => {
                    let args =
                        ["worker", "--slots", &options.slots.to_string(), "--job-ms", &options.job_ms.to_string()];
                    ("csm-bulk-soak", args.map(str::to_owned).to_vec(), Vec::new())
                }
                BulkEngine::Tiny => {
                    let args = vec!["--admin-listen".to_owned(), free_address()?.to_string()];
                    let more = vec![
                        pair("CSM_MODEL", model.display()),
                        pair("CSM_DEVICE", "cpu"),
                        pair("CSM_DEVELOPMENT_WATERMARK", "true"),
                        pair("CSM_SLOTS", options.slots),
                        pair("CSM_LANES", "bulk"),
                        pair("CSM_THREADS", 1),
                    ];
                    ("csm-worker", args, more)
                }
            };
            fleet.workers.push(Member::start(program, args, with(&worker, more), log)?);
        }
        Ok(fleet)
    }
}

fn pair(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}
