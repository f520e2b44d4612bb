//! Gateway under test, with its Redis, store and model folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use csm_gateway::{AdminTokenArgs, Gateway, GatewayArgs, IdSecretArgs, TargetWaitArgs, serve};
use csm_queue::live::Live;
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Queue, QueueArgs};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{JobId, JobRecord, Lane};
use csm_shared::models::{HubOptions, ModelSource};
use csm_shared::store::{Store, StoreArgs, StoreLocation};
use csm_shared::watermark::WatermarkKeyArgs;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use csm_testing::byte_model::write_model;

/// Longest wait of a test for an event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Running gateway, with its Redis and its store, and the test's own clients of both.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) wyoming_address: SocketAddr,
    pub(crate) scaler_address: SocketAddr,
    pub(crate) redis: LocalRedis,
    pub(crate) queue: Queue,
    pub(crate) live: Live,
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) stop: CancellationToken,
    gateway: Option<Gateway>,
    folder: TempDir,
}

/// Answer of the gateway, read to its end.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl TestResponse {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.headers.contains_key(header)
    }

    /// Returns whether the answer names the job of an earlier request.
    pub(crate) fn is_replay(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }

    /// Returns the seconds of `Retry-After`.
    pub(crate) fn retry_after(&self) -> u64 {
        self.header("retry-after").parse().unwrap()
    }

    /// Returns a field of the body that is a string.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }
}

/// Sorts the members of snapshots, for the rest of the test's thread.
///
/// Whether parsed JSON keeps its order depends on the features of `serde_json` that other packages
/// of a build ask for.
fn sort_snapshots() {
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    std::mem::forget(settings.bind_to_scope());
}

impl TestApp {
    /// Starts a gateway with the settings of a test.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts with changed settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut GatewayArgs)) -> Self {
        sort_snapshots();
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        write_model(&model);
        let redis = LocalRedis::spawn(&folder.path().join("redis"), &LocalRedisOptions::default()).await.unwrap();
        let redis_args = RedisArgs::new(redis.url(), "csm");
        let location = StoreLocation::Folder(folder.path().join("audio"));
        let mut args = GatewayArgs {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            wyoming: Some("127.0.0.1:0".parse().unwrap()),
            scaler_listen: Some("127.0.0.1:0".parse().unwrap()),
            model: ModelSource::Folder(model),
            redirect_audio: false,
            memory: None,
            batch_window: 512,
            target_wait: TargetWaitArgs::default(),
            drain: Duration::from_secs(10),
            former_drain: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            id_secret: IdSecretArgs::default(),
            admin_token: AdminTokenArgs::default(),
            redis: redis_args.clone(),
            queue: QueueArgs::default(),
            store: StoreArgs { location, endpoint: None, region: None, path_style: None },
            hub: HubOptions::default(),
            watermark: WatermarkKeyArgs { development_watermark: true, ..WatermarkKeyArgs::default() },
        };
        change(&mut args);
        let stop = CancellationToken::new();
        let gateway = serve(&args, metrics(), stop.clone()).await.unwrap();
        let client = RedisClient::new(&redis_args, PATIENCE).unwrap();
        let store = args.store.build().await.unwrap();
        Self {
            address: gateway.address,
            admin_address: gateway.admin_address,
            wyoming_address: gateway.wyoming_address.unwrap(),
            scaler_address: gateway.scaler_address.unwrap(),
            redis,
            queue: Queue::new(client.clone(), &args.queue),
            live: Live::new(client).with_store(store.clone()),
            store,
            client: Client::builder().timeout(2 * PATIENCE).build().unwrap(),
            stop,
            gateway: Some(gateway),
            folder,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> TestResponse {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        TestResponse { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> TestResponse {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Posts text as it is, whether valid JSON or not.
    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> TestResponse {
        let request = self.request(Method::POST, path).header("content-type", "application/json").body(body.into());
        self.send(request).await
    }

    /// Sends a native request with headers.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TestResponse {
        let request = self.request(method, path).header("content-type", "application/json").body(body.to_owned());
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    pub(crate) async fn get_admin(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(format!("http://{}{path}", self.admin_address)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// Submits a job that is accepted; returns its id.
    pub(crate) async fn submit(&self, body: &str) -> JobId {
        let answer = self.post("/v1/jobs", body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.text("id").parse().unwrap()
    }

    pub(crate) async fn record(&self, id: &JobId) -> JobRecord {
        self.queue.record(id).await.unwrap().unwrap()
    }

    /// Returns the number of waiting and running jobs of all lanes.
    pub(crate) async fn depth(&self) -> u64 {
        self.queue.stats().await.unwrap().lanes.iter().map(|lane| lane.depth).sum()
    }

    pub(crate) async fn lane_depth(&self, lane: Lane) -> u64 {
        self.queue.stats().await.unwrap().lanes.iter().find(|stats| stats.lane == lane).unwrap().depth
    }

    /// Returns the files of the store below a folder.
    pub(crate) fn store_files(&self, folder: &str) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.path().join("audio").join(folder)];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files
    }

    /// Waits until a request follows the job: the gateway is subscribed to the job's channel.
    pub(crate) async fn until_followed(&self, job: &JobId) {
        let mut count = redis::cmd("PUBSUB");
        count.arg("NUMSUB").arg(format!("csm:{{j:{job}}}:n"));
        until("the job is followed", async || {
            let (_, subscribers): (String, u64) = self.queue.redis().command(&count).await.unwrap();
            subscribers > 0
        })
        .await;
    }

    /// Tells the gateway to stop and waits until it has.
    pub(crate) async fn join(&mut self) {
        self.stop.cancel();
        let gateway = self.gateway.take().unwrap();
        tokio::time::timeout(PATIENCE, gateway.join()).await.unwrap().unwrap();
    }
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Returns the recorder of the process, which all tests share.
fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}
