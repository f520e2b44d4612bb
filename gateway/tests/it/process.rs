//! The gateway as the process that is deployed: settings from flags and environment, redirects to S3, SIGTERM.

use std::process::Stdio;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::app::{PATIENCE, TestApp};
use crate::speech::say;
use crate::tokenizer::write_model;
use crate::worker::Worker;

/// Starts the process beside a test's Redis, with an S3 store that nobody needs to reach; answers its address.
async fn start(app: &TestApp, model: &std::path::Path) -> (Child, String) {
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
    let address = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, rest)) = line.split_once("gateway listens address=") {
                return rest.split_whitespace().next().unwrap().to_owned();
            }
        }
        panic!("the gateway ended before it listened");
    };
    let address = tokio::time::timeout(PATIENCE, address).await.unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (process, address)
}

#[tokio::test]
async fn the_process_redirects_to_the_store_and_ends_cleanly() {
    let (app, worker) = (TestApp::start().await, Worker::new());
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (mut process, address) = start(&app, model.path()).await;
    let id = app.submit(&say("over there")).await;
    let lease = worker.claim(&app).await;
    let receipt = worker.succeed(&app, lease).await;

    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let answer = client.get(format!("http://{address}/v1/jobs/{id}/audio")).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&format!("http://127.0.0.1:9/bucket/team/{}?", receipt.location)), "{location}");
    assert!(location.contains("X-Amz-Signature="), "{location}");

    let kill = Command::new("kill").args(["-TERM", &process.id().unwrap().to_string()]).status().await.unwrap();
    assert!(kill.success());
    let ended = tokio::time::timeout(Duration::from_secs(10), process.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}
