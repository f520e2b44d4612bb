//! Gateway as a process: settings from flags and environment, redirects to S3, SIGTERM.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::app::{PATIENCE, TestApp, until};
use crate::speech::say;
use crate::worker::TestWorker;
use csm_testing::byte_model::write_model;

type Log = Lines<BufReader<ChildStderr>>;

/// Starts the process with a test's Redis and an S3 store that is never reached. Returns the
/// process, its address and its log.
async fn start(app: &TestApp, model: &std::path::Path) -> (Child, String, Log) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_csm-gateway"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--redirect-audio", "--model"])
        .arg(model)
        .args(["--store", "s3:bucket/team", "--s3-endpoint", "http://127.0.0.1:9", "--redis-url", &app.redis.url()])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("NO_COLOR", "1")])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let listens = line_with(&mut lines, "gateway listens address=").await;
    let (_, address) = listens.split_once("address=").unwrap();
    (process, address.split_whitespace().next().unwrap().to_owned(), lines)
}

/// Returns the next line of the log that holds `words`.
async fn line_with(lines: &mut Log, words: &str) -> String {
    let find = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(words) {
                return line;
            }
        }
        panic!("the gateway ended without {words:?}");
    };
    timeout(PATIENCE, find).await.unwrap()
}

#[tokio::test]
async fn the_process_redirects_to_the_store_and_ends_cleanly() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (mut process, address, mut log) = start(&app, model.path()).await;
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let id = app.submit(&say("over there")).await;
    let job = worker.claim(&app).await;
    let receipt = worker.succeed(&app, job).await;

    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let answer = client.get(format!("http://{address}/v1/jobs/{id}/audio")).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&format!("http://127.0.0.1:9/bucket/team/{}?", receipt.location)), "{location}");
    assert!(location.contains("X-Amz-Signature="), "{location}");
    assert_eq!(answer.headers()["x-ai-generated"], "trainedAlgorithmicMedia");

    let kill = Command::new("kill").args(["-TERM", &process.id().unwrap().to_string()]).status().await.unwrap();
    assert!(kill.success());
    let ended = timeout(Duration::from_secs(10), process.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn settings_of_redis_that_could_cost_jobs_are_named_at_the_start() {
    let app = TestApp::start().await;
    let mut evict = redis::cmd("CONFIG");
    evict.arg("SET").arg("maxmemory-policy").arg("allkeys-lru");
    app.queue.redis().command::<()>(&evict).await.unwrap();
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (_process, _, mut log) = start(&app, model.path()).await;
    let line = line_with(&mut log, "allkeys-lru").await;
    assert!(line.contains("WARN") && line.contains("noeviction"), "{line}");
}

/// Starts the process under a shell that sets limits of open files.
async fn start_limited(app: &TestApp, model: &std::path::Path, limits: &str) -> (Child, SocketAddr, SocketAddr) {
    let gateway = env!("CARGO_BIN_EXE_csm-gateway");
    let mut process = Command::new("sh")
        .args(["-c", &format!("{limits}; exec {gateway} \"$@\""), "sh"])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--model"])
        .arg(model)
        .arg("--store")
        .arg(format!("folder:{}", model.join("audio").display()))
        .args(["--redis-url", &app.redis.url()])
        // A fleet of its own: the app beside it has another model.
        .args(["--key-prefix", "limited"])
        .env("NO_COLOR", "1")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let line = line_with(&mut log, "gateway listens address=").await;
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let address = |name: &str| line.split_once(name).unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    (process, address(" address="), address("admin_address="))
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let app = TestApp::start().await;
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (process, _, _) = start_limited(&app, model.path(), "ulimit -Sn 100; ulimit -Hn 400").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["400", "400"], "{line}");
}

#[tokio::test]
async fn probes_are_answered_while_callers_take_all_descriptors() {
    let app = TestApp::start().await;
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (_process, address, admin) = start_limited(&app, model.path(), "ulimit -n 120").await;
    let probe = async |path: &str| {
        // A new connection for each probe, as a kubelet makes it.
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        client.get(format!("http://{admin}{path}")).send().await.map(|answer| answer.status().as_u16())
    };
    until("ready", async || probe("/readyz").await.is_ok_and(|status| status == 200)).await;

    let mut callers = Vec::new();
    for _ in 0..300 {
        // Connections beyond the limit wait in the queue of the listener, or are refused there.
        let Ok(Ok(caller)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await else { break };
        callers.push(caller);
    }
    assert!(callers.len() > 120, "{}", callers.len());
    until("the callers hold what they may", async || {
        let metrics = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
        // Three quarters of what the reserve leaves are for connections, half of those for a peer.
        metrics.contains("csm_http_connections 22")
    })
    .await;
    for path in ["/livez", "/readyz", "/metrics", "/livez"] {
        assert_eq!(probe(path).await.unwrap(), 200, "{path}");
    }
    drop(callers);
    until("callers are served again", async || {
        reqwest::get(format!("http://{address}/problems")).await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}
