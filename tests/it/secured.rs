//! A fleet whose Redis speaks TLS alone and knows the users of `k8s/components/redis-secure`.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use csm_engine::random_model::{self, FolderLayout};
use csm_testing::certificates::Authority;
use csm_testing::process::{Process, free_address, program_path};
use csm_tests::run_redis::{RedisUser, RunRedis};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::test_client::TestClient;

/// Longest wait for a gateway to tell why it is not ready.
const TOLD_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Secured Redis, a model and folders for the programs of a test.
struct SecuredFleet {
    redis: RunRedis,
    folder: TempDir,
}

impl SecuredFleet {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for part in ["store", "log"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        random_model::make_noise(&folder.path().join("noise"), FolderLayout::Transformers).unwrap();
        let redis = RunRedis::start(folder.path(), true).await.unwrap();
        Self { redis, folder }
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts a program with its log in a file; returns it with its admin address.
    fn start(&self, program: &str, user: RedisUser, more: &[(&str, String)]) -> (Process, SocketAddr) {
        let admin = free_address().unwrap();
        let mut environment = self.redis.environment(user, self.redis.address());
        let settings = [
            ("CSM_ADMIN_LISTEN", admin.to_string()),
            ("CSM_MODEL", self.folder.path().join("noise").display().to_string()),
            ("CSM_STORE", format!("folder:{}", self.folder.path().join("store").display())),
            ("CSM_LOG", "debug".to_owned()),
        ];
        environment.extend(settings.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())));
        let log = File::create(self.logs().join(format!("{program}.log"))).unwrap();
        (Process::start(program, &[], &environment, Some(log)).unwrap(), admin)
    }

    /// Runs `csm` as the operator; returns its exit status and all that it printed.
    async fn csm(&self, words: &[&str]) -> (bool, String) {
        let environment = self.redis.environment(RedisUser::Operator, self.redis.address());
        let mut csm = Command::new(program_path("csm").unwrap());
        let done = csm.args(words).envs(environment).current_dir(self.folder.path()).output().await.unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[tokio::test]
async fn a_fleet_speaks_over_tls_under_the_rules_of_redis() {
    let fleet = SecuredFleet::new().await;
    let listen = free_address().unwrap();
    let (mut gateway, admin) = fleet.start("csm-gateway", RedisUser::Gateway, &[("CSM_LISTEN", listen.to_string())]);
    gateway.ready(admin).await.unwrap();
    let worker = [("CSM_DEVICE", "cpu".to_owned()), ("CSM_DEVELOPMENT_WATERMARK", "true".to_owned())];
    let (mut worker, admin) = fleet.start("csm-worker", RedisUser::Worker, &worker);
    worker.ready(admin).await.unwrap();

    let client = TestClient::new(listen);
    let id = client.submit(1, 5).await;
    let record = client.finished(&id).await;
    client.audio(&record).await;
    for words in [["queue", "stats"], ["queue", "open"], ["dlq", "list"], ["top", "--once"]] {
        let (done, text) = fleet.csm(&words).await;
        assert!(done, "csm {words:?}: {text}");
    }
    // The rules give the operator no other keys, and the worker none of the gateways'.
    let (done, text) = fleet.csm(&["queue", "stats", "--key-prefix", "other"]).await;
    assert!(!done && text.to_lowercase().contains("no permissions"), "{text}");
    worker.terminate().await.unwrap();
    gateway.terminate().await.unwrap();
    fleet.redis.check_logs(&fleet.logs()).unwrap();
}

#[tokio::test]
async fn a_gateway_that_does_not_trust_redis_says_so_without_its_password() {
    let fleet = SecuredFleet::new().await;
    let other = Authority::new(fleet.folder.path(), "other").unwrap();
    let settings = [
        ("CSM_LISTEN", free_address().unwrap().to_string()),
        ("CSM_REDIS_CA", other.certificate.display().to_string()),
    ];
    let (_gateway, admin) = fleet.start("csm-gateway", RedisUser::Gateway, &settings);
    let told = async {
        loop {
            if let Ok(answer) = reqwest::get(format!("http://{admin}/readyz")).await {
                let text = answer.text().await.unwrap_or_default();
                if text.contains("certificate") {
                    return text;
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let told = timeout(TOLD_LIMIT, told).await.unwrap();
    assert!(told.contains("degraded") && told.contains("CSM_REDIS_CA"), "{told}");
    fleet.redis.check_logs(&fleet.logs()).unwrap();
}

#[tokio::test]
async fn a_program_names_the_file_that_is_no_certificate() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("noise");
    random_model::make_noise(&model, FolderLayout::Transformers).unwrap();
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, "no certificate\n").unwrap();
    let settings = [
        ("CSM_REDIS_URL", "rediss://csm-gateway:hush@127.0.0.1:1".to_owned()),
        ("CSM_REDIS_CA", file.display().to_string()),
        ("CSM_MODEL", model.display().to_string()),
        ("CSM_STORE", format!("folder:{}", folder.path().display())),
        ("CSM_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("CSM_LISTEN", "127.0.0.1:0".to_owned()),
        ("CSM_LOG", "off".to_owned()),
    ];
    let output = Command::new(program_path("csm-gateway").unwrap()).envs(settings).output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("CSM_REDIS_CA") && told.contains("ca.crt") && !told.contains("hush"), "{told}");
}
