//! `csm doctor`: verdicts on real programs, files, ports and servers, some of them broken on
//! purpose.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use serde_json::Value;

use crate::{assert_status, csm, run, stdout};

/// Writes a program of a few lines into `folder`.
fn program(folder: &Path, name: &str, lines: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn doctor(folder: &Path, more: &[&str]) -> Output {
    run(csm(folder).args(["doctor", "--json", "--model", "noise", "--listen", "127.0.0.1:0"]).args(more))
}

/// Returns the result of one check.
fn check(output: &Output, name: &str) -> Value {
    let report: Value = serde_json::from_str(&stdout(output)).unwrap();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}")).clone()
}

fn assert_verdict(output: &Output, name: &str, verdict: &str, words: &str) {
    let check = check(output, name);
    let said = format!("{} {}", check["what"], check["advice"]);
    assert!(check["verdict"] == verdict && said.contains(words), "{check:#}");
}

#[test]
fn a_machine_without_redis_is_a_problem_and_with_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let without = run(csm(folder.path()).args(["doctor", "--json", "--model", "noise"]).env("PATH", &empty));
    assert_status(&without, 1);
    assert_verdict(&without, "redis-server", "problem", "apt-get install redis-server");

    program(&empty, "redis-server", "echo 'Redis server v=5.0.7 sha=00000000:0'");
    let old = run(csm(folder.path()).args(["doctor", "--json", "--model", "noise"]).env("PATH", &empty));
    assert_status(&old, 1);
    assert_verdict(&old, "redis-server", "problem", "5.0, while 6.2 is the oldest");

    let with = doctor(folder.path(), &[]);
    assert_status(&with, 0);
    assert_verdict(&with, "redis-server", "ok", "");
    assert_verdict(&with, "model", "ok", "hisses");
    let toy = run(csm(folder.path()).args(["doctor", "--json", "--model", "tiny", "--listen", "127.0.0.1:0"]));
    assert_verdict(&toy, "model", "ok", "a toy voice");
    assert_status(&run(csm(folder.path()).args(["model", "write-tiny", "toy"])), 0);
    let toy = run(csm(folder.path()).args(["doctor", "--json", "--model", "./toy", "--listen", "127.0.0.1:0"]));
    assert_verdict(&toy, "model", "warning", "a toy voice");
}

#[tokio::test]
async fn a_configured_redis_must_answer() {
    let folder = tempfile::tempdir().unwrap();
    let redis = LocalRedis::spawn(&folder.path().join("redis"), &LocalRedisOptions::default()).await.unwrap();
    let up = doctor(folder.path(), &["--redis-url", &redis.url()]);
    assert_status(&up, 0);
    assert_verdict(&up, "redis", "ok", "0 jobs");

    let url = redis.url();
    redis.shutdown().await.unwrap();
    let down = doctor(folder.path(), &["--redis-url", &url]);
    assert_status(&down, 1);
    assert_verdict(&down, "redis", "problem", "does not answer");
    assert!(!stdout(&down).contains(&url), "a URL may hold a password");
}

#[test]
fn a_cuda_worker_that_the_loader_refuses_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let refused = "echo \"$0: error while loading shared libraries: libcuda.so.1: cannot open shared object file: \
                   No such file or directory\" >&2; exit 127";
    program(folder.path(), "refused", refused);
    program(folder.path(), "starts", "echo csm-worker 0.1.0");
    let verdict = |worker: &str| {
        let file = folder.path().join(worker);
        doctor(folder.path(), &["--cuda-worker", file.to_str().unwrap()])
    };
    assert!(check(&verdict("refused"), "cuda worker")["what"].to_string().contains("part of the NVIDIA driver"));
    assert_verdict(&verdict("starts"), "cuda worker", "ok", "csm-worker 0.1.0");
    assert!(check(&verdict("absent"), "cuda worker")["what"].to_string().contains("cannot be run"));
}

#[test]
fn the_worker_must_suit_the_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools");
    fs::create_dir_all(folder.path().join("90")).unwrap();
    fs::create_dir(&tools).unwrap();
    program(&folder.path().join("90"), "csm-worker", "echo csm-worker 0.1.0");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let seen = |smi: &str| {
        program(&tools, "nvidia-smi", &format!("echo '{smi}'"));
        run(csm(folder.path())
            .args(["doctor", "--json", "--model", "noise", "--cuda-worker", "90/csm-worker"])
            .env("PATH", &path))
    };
    let l4 = seen("NVIDIA L4, 580.65.06, 8.9");
    assert_verdict(&l4, "gpu", "ok", "compute capability 89");
    assert_verdict(&l4, "cuda worker", "warning", "make cuda CAP=89");
    assert_verdict(&seen("NVIDIA H200, 580.65.06, 9.0"), "cuda worker", "ok", "starts");
}

#[test]
fn places_are_tried_not_assumed() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fs::write(folder.path().join("file"), "").unwrap();
    let arguments = ["doctor", "--json", "--model", "./none", "--listen", &address, "--data", "made/later"];
    let output = run(csm(folder.path()).args(arguments));
    assert_status(&output, 1);
    assert_verdict(&output, "ports", "warning", &address);
    assert_verdict(&output, "data folder", "ok", "will be made");
    assert_eq!(check(&output, "model")["verdict"], "problem");
    assert!(!folder.path().join("made").exists(), "the doctor leaves nothing behind");
}
