//! A fleet for one test: Redis, one gateway, any number of workers on the noise model, and a store.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use csm_engine::random_model::{self, FolderLayout};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_testing::process::{Process, free_address, program_path};
use serde_json::Value;
use tempfile::TempDir;

use crate::test_client::TestClient;
use csm_testing::s3_server::{self, S3Server};

/// Longest wait for a change of a worker's readiness.
const READINESS_LIMIT: Duration = Duration::from_secs(90);
/// Pause between two looks at a worker's readiness.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) struct WorkerProcess {
    pub(crate) process: Process,
    pub(crate) admin: SocketAddr,
}

pub(crate) struct TestSystem {
    pub(crate) redis: LocalRedis,
    pub(crate) gateway: Process,
    pub(crate) workers: Vec<WorkerProcess>,
    pub(crate) client: TestClient,
    folders: TempDir,
    environment: Vec<(String, String)>,
    gateway_admin: SocketAddr,
}

/// Store of the fleet's audio.
pub(crate) enum Keep {
    Folder,
    /// A folder of the test's own.
    FolderAt(PathBuf),
    S3(SocketAddr),
}

impl TestSystem {
    /// Starts a gateway and `workers` workers of `slots` slots each, with a folder as store, and
    /// waits until all are ready.
    pub(crate) async fn start(workers: usize, slots: u8) -> Self {
        Self::start_with(Keep::Folder, workers, slots).await
    }

    /// Starts the same system with `drain_seconds` of grace for the workers.
    pub(crate) async fn start_with_drain(workers: usize, slots: u8, drain_seconds: u64) -> Self {
        let mut system = Self::start(0, slots).await;
        system.environment.push(pair("CSM_DRAIN_SECONDS", drain_seconds));
        for _ in 0..workers {
            system.add_worker();
        }
        system.ready().await;
        system
    }

    /// Starts the same system with a store of the caller's choice.
    pub(crate) async fn start_with(keep: Keep, workers: usize, slots: u8) -> Self {
        let noise = |folder: &Path| random_model::make_noise(folder, FolderLayout::Transformers).unwrap();
        Self::start_on(noise, keep, workers, slots).await
    }

    /// Starts the same system on the toy voice, which speaks.
    pub(crate) async fn start_speaking(workers: usize, slots: u8) -> Self {
        Self::start_on(|folder| csm_tiny::write(folder).unwrap(), Keep::Folder, workers, slots).await
    }

    /// Starts the same system on the model that `write_model` writes into a folder.
    async fn start_on(write_model: impl FnOnce(&Path), keep: Keep, workers: usize, slots: u8) -> Self {
        let folders = TempDir::new().unwrap();
        let redis = LocalRedis::spawn(&folders.path().join("redis"), &LocalRedisOptions::default()).await.unwrap();
        let model = folders.path().join("model");
        write_model(&model);
        let mut environment = vec![
            pair("CSM_REDIS_URL", redis.url()),
            pair("CSM_MODEL", model.display()),
            pair("CSM_DEVELOPMENT_WATERMARK", "true"),
            pair("CSM_DEVICE", "cpu"),
            pair("CSM_LOG", "warn"),
            pair("CSM_SLOTS", slots),
            // Jobs of any lane fill all slots, so that a test knows what runs beside what.
            pair("CSM_LIVE_RESERVE_SLOTS", 0),
        ];
        match keep {
            Keep::Folder => {
                let store = folders.path().join("store");
                std::fs::create_dir_all(&store).unwrap();
                environment.push(pair("CSM_STORE", format!("folder:{}", store.display())));
            }
            Keep::FolderAt(store) => environment.push(pair("CSM_STORE", format!("folder:{}", store.display()))),
            Keep::S3(address) => environment.extend([
                pair("CSM_STORE", format!("s3:{}/fleet", s3_server::BUCKET)),
                pair("CSM_S3_ENDPOINT", format!("http://{address}")),
                pair("AWS_ACCESS_KEY_ID", s3_server::ACCESS_KEY),
                pair("AWS_SECRET_ACCESS_KEY", s3_server::SECRET_KEY),
                pair("CSM_REDIRECT_AUDIO", "true"),
            ]),
        }
        let (listen, gateway_admin) = (free_address().unwrap(), free_address().unwrap());
        environment.push(pair("CSM_LISTEN", listen));
        let client = TestClient::new(listen);
        let gateway = start_gateway(&environment, gateway_admin);
        let mut system = Self { redis, gateway, workers: Vec::new(), client, folders, environment, gateway_admin };
        for _ in 0..workers {
            system.add_worker();
        }
        system.ready().await;
        system
    }

    /// Adds a setting to those of the processes that start from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push(pair(name, value));
    }

    /// Starts one more worker, without waiting for it.
    pub(crate) fn add_worker(&mut self) {
        self.add_worker_from(&program_path("csm-worker").unwrap());
    }

    /// Starts one more worker from a program of the caller's choice, without waiting for it.
    pub(crate) fn add_worker_from(&mut self, program: &Path) {
        let admin = free_address().unwrap();
        let args = ["--admin-listen".to_owned(), admin.to_string()];
        let process = Process::start_file(program, &args, &self.environment, None).unwrap();
        self.workers.push(WorkerProcess { process, admin });
    }

    /// Starts one more worker with more settings and its log in a file, without waiting for it.
    pub(crate) fn add_worker_with(&mut self, settings: &[(&str, &str)], log: File) {
        let admin = free_address().unwrap();
        let args = ["--admin-listen".to_owned(), admin.to_string()];
        let more = settings.iter().map(|(name, value)| pair(name, value));
        let environment: Vec<_> = self.environment.iter().cloned().chain(more).collect();
        let process = Process::start("csm-worker", &args, &environment, Some(log)).unwrap();
        self.workers.push(WorkerProcess { process, admin });
    }

    /// Starts the gateway again on its old address, with more settings and its log in a file.
    pub(crate) async fn restart_gateway_with(&mut self, settings: &[(&str, &str)], log: File) {
        self.gateway.terminate().await.unwrap();
        let more = settings.iter().map(|(name, value)| pair(name, value));
        let environment: Vec<_> = self.environment.iter().cloned().chain(more).collect();
        let args = ["--admin-listen".to_owned(), self.gateway_admin.to_string()];
        self.gateway = Process::start("csm-gateway", &args, &environment, Some(log)).unwrap();
        self.gateway.ready(self.gateway_admin).await.unwrap();
    }

    /// Starts the gateway again on its old address, after a kill.
    pub(crate) async fn restart_gateway(&mut self) {
        self.gateway = start_gateway(&self.environment, self.gateway_admin);
        self.gateway.ready(self.gateway_admin).await.unwrap();
    }

    /// Waits until gateway and workers are ready.
    pub(crate) async fn ready(&mut self) {
        self.gateway.ready(self.gateway_admin).await.unwrap();
        for worker in &mut self.workers {
            worker.process.ready(worker.admin).await.unwrap();
        }
    }

    /// Returns the metrics page of the gateway, then that of each worker.
    pub(crate) async fn metrics(&self) -> Vec<String> {
        let mut pages = Vec::new();
        for admin in [self.gateway_admin].into_iter().chain(self.workers.iter().map(|worker| worker.admin)) {
            let answer = reqwest::get(format!("http://{admin}/metrics")).await.unwrap();
            pages.push(answer.text().await.unwrap());
        }
        pages
    }

    /// Returns the audio files in the folder store. The probes of workers are not among them.
    pub(crate) fn stored_files(&self) -> Vec<PathBuf> {
        let (mut found, audio) = (Vec::new(), self.store_folder().join("audio"));
        if audio.is_dir() {
            collect(&audio, &mut found);
        }
        found.retain(|file| !file.starts_with(audio.join("probe")));
        found
    }

    /// Returns the path of the folder store.
    pub(crate) fn store_folder(&self) -> PathBuf {
        self.folders.path().join("store")
    }

    /// Returns the path of the model's folder.
    pub(crate) fn model_folder(&self) -> PathBuf {
        self.folders.path().join("model")
    }

    /// Waits until the readiness of a worker is as wanted, and returns it.
    pub(crate) async fn readiness_until(&self, worker: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        let url = format!("http://{}/readyz", self.workers[worker].admin);
        let look = async {
            loop {
                if let Ok(answer) = reqwest::get(&url).await
                    && let Ok(readiness) = answer.json::<Value>().await
                    && wanted(&readiness)
                {
                    return readiness;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(READINESS_LIMIT, look).await.expect("the worker's readiness does not get there")
    }

    /// Returns the bytes that a job's events take in Redis.
    pub(crate) async fn event_bytes(&self, job: &str) -> u64 {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(format!("csm:{{j:{job}}}:ev")).arg("SAMPLES").arg(0);
        usage.query_async(&mut connection).await.unwrap()
    }

    /// Returns the number of entries in the lanes.
    pub(crate) async fn lane_depth(&self) -> u64 {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut depth = 0;
        for lane in ["live", "standard", "bulk"] {
            let key = format!("csm:{{q0}}:s:{lane}");
            depth += redis::cmd("XLEN").arg(key).query_async::<u64>(&mut connection).await.unwrap();
        }
        depth
    }
}

fn start_gateway(environment: &[(String, String)], admin: SocketAddr) -> Process {
    Process::start("csm-gateway", &["--admin-listen".to_owned(), admin.to_string()], environment, None).unwrap()
}

fn pair(name: &str, value: impl std::fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

/// Starts an S3 server as a system's store.
pub(crate) async fn s3() -> S3Server {
    S3Server::start().await
}
