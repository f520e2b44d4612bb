//! The processes of a siege: Redis and a worker on the noise model for all attacks, and a new
//! gateway for each.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use csm_engine::random_model::{self, FolderLayout};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_shared::outln;
use csm_testing::process::{Process, free_address, program_path};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::DRAIN_SECONDS;
use super::gateway_memory::MemoryLimit;

/// Shell that puts the gateway under its limits before it starts. It is the gateway's process.
const UNDER_LIMITS: &str = r#"[ -z "$1" ] || echo $$ > "$1/cgroup.procs" || exit 1
ulimit -Sn "$2" || exit 1
shift 2
exec "$@""#;
/// Length of the long answer in milliseconds: 23 MB of WAV.
const LONG_ANSWER_MS: u64 = 480_000;
/// Longest time to make the long answer.
const LONG_ANSWER_LIMIT: Duration = Duration::from_secs(240);
/// Pause between two looks at a job.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Redis, a worker, and what gateways need.
pub(super) struct SiegeFleet {
    _redis: LocalRedis,
    worker: Process,
    worker_admin: SocketAddr,
    environment: Vec<(String, String)>,
    log: File,
}

impl SiegeFleet {
    /// Starts everything below `folder`, without waiting for the worker. `more` is added to the
    /// environment of every gateway.
    pub(super) async fn start(folder: &Path, more: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let (store, model) = (folder.join("store"), folder.join("noise"));
        std::fs::create_dir_all(&store)?;
        random_model::make_noise(&model, FolderLayout::Transformers)?;
        let redis = LocalRedis::spawn(&folder.join("redis"), &LocalRedisOptions::default()).await?;
        let mut environment = vec![
            pair("CSM_REDIS_URL", redis.url()),
            pair("CSM_MODEL", model.display()),
            pair("CSM_STORE", format!("folder:{}", store.display())),
            pair("CSM_LOG", "warn"),
            pair("CSM_DEVICE", "cpu"),
            pair("CSM_DEVELOPMENT_WATERMARK", "true"),
            pair("CSM_THREADS", 1),
        ];
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let worker_admin = free_address()?;
        let args = ["--admin-listen".to_owned(), worker_admin.to_string()];
        let worker = Process::start("csm-worker", &args, &environment, Some(log.try_clone()?))?;
        environment.push(pair("CSM_GATEWAY_DRAIN_SECONDS", DRAIN_SECONDS));
        environment.extend(more);
        Ok(Self { _redis: redis, worker, worker_admin, environment, log })
    }

    /// Waits until the worker is ready.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        self.worker.ready(self.worker_admin).await
    }

    /// Starts a gateway under a limit of memory and of open files, and waits until it is ready.
    pub(super) async fn gateway(&self, limit: &MemoryLimit, descriptors: u32) -> anyhow::Result<SiegeGateway> {
        let (public, admin) = (free_address()?, free_address()?);
        let cgroup = limit.folder().map(|folder| folder.display().to_string()).unwrap_or_default();
        let program = program_path("csm-gateway")?.display().to_string();
        let (listen, admin_listen) = (public.to_string(), admin.to_string());
        let args: Vec<String> = ["-c", UNDER_LIMITS, "sh", &cgroup, &descriptors.to_string(), &program]
            .into_iter()
            .chain(["--listen", &listen, "--admin-listen", &admin_listen])
            .map(str::to_owned)
            .collect();
        let mut process =
            Process::start_file(Path::new("/bin/sh"), &args, &self.environment, Some(self.log.try_clone()?))?;
        process.ready(admin).await?;
        let pid = process.id().context("the gateway is gone")?;
        Ok(SiegeGateway { process, pid, public, admin })
    }

    /// Begins a job with a long answer, and returns its path.
    pub(super) async fn long_job(&self, gateway: SocketAddr) -> anyhow::Result<Arc<str>> {
        const SENTENCE: &str = "All good things take time. ";
        let text = SENTENCE.repeat(4_096 / SENTENCE.len());
        let body = json!({
            "text": text.trim_end(), "seed": 1, "max_audio_length_ms": LONG_ANSWER_MS, "lane": "bulk"
        });
        let http = reqwest::Client::builder().no_proxy().build()?;
        let accepted = http.post(format!("http://{gateway}/v1/jobs")).json(&body).send().await?;
        ensure!(accepted.status() == 202, "the long job: {}", accepted.status());
        let accepted: Value = accepted.json().await?;
        Ok(format!("/v1/jobs/{}", accepted["id"].as_str().context("an id")?).into())
    }

    /// Waits for the end of the job at `path`.
    pub(super) async fn finished(&self, gateway: SocketAddr, path: &str) -> anyhow::Result<()> {
        let (http, began) = (reqwest::Client::builder().no_proxy().build()?, Instant::now());
        let finished = async {
            loop {
                let record: Value = http.get(format!("http://{gateway}{path}")).send().await?.json().await?;
                if let Some(bytes) = record["receipt"]["bytes"].as_u64() {
                    return anyhow::Ok(bytes);
                }
                ensure!(record["status"] != "failed", "the long job: {record}");
                sleep(LOOK_AGAIN).await;
            }
        };
        let bytes = timeout(LONG_ANSWER_LIMIT, finished).await.context("the long job takes too long")??;
        outln!("waited {:.0} s for an answer of {bytes} bytes", began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Gateway under attack.
pub(super) struct SiegeGateway {
    pub(super) process: Process,
    pub(super) pid: u32,
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
}

fn pair(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}
