//! Logs that nobody reads any more, or that are too many: the programs go on, and end when told to.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, pipe};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::test_system::TestSystem;

/// Jobs of one load.
const JOBS: usize = 8;
/// Longest wait for a count to appear on a metrics page.
const LIMIT: Duration = Duration::from_secs(60);
/// Drain of the programs in these tests, in seconds.
const DRAIN: &str = "5";
/// Longest time from SIGTERM to the end: drain and the longest margin of a program.
const END_LIMIT: Duration = Duration::from_secs(5 + 14);
/// Settings that make a program log much.
const LOUD: [(&str, &str); 2] = [("CSM_LOG", "trace"), ("CSM_DRAIN_SECONDS", DRAIN)];

/// Returns the writing end of a pipe as a log file, and the reading end.
fn log_pipe() -> (File, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    (File::from(OwnedFd::from(writer)), reader)
}

/// Starts a fleet whose gateway and worker write loud logs into pipes, and returns the readers.
async fn loud_fleet() -> (TestSystem, [PipeReader; 2]) {
    let mut system = TestSystem::start(0, 2).await;
    let (log, gateway) = log_pipe();
    system.restart_gateway_with(&LOUD, log).await;
    let (log, worker) = log_pipe();
    system.add_worker_with(&LOUD, log);
    (system, [gateway, worker])
}

/// Returns the dropped lines on each metrics page.
async fn dropped(system: &TestSystem) -> Vec<f64> {
    let count = |page: &String| {
        let line = page.lines().find_map(|line| line.strip_prefix("csm_log_lines_dropped_total "));
        line.and_then(|count| count.parse().ok()).unwrap_or_default()
    };
    system.metrics().await.iter().map(count).collect()
}

/// Submits jobs, and waits until each has its audio.
async fn load(system: &TestSystem) {
    let mut ids = Vec::new();
    for seed in 0..JOBS {
        ids.push(system.client.submit(seed as u64, 5).await);
    }
    for id in ids {
        let record = system.client.finished(&id).await;
        system.client.audio(&record).await;
    }
}

/// Checks that the fleet works, counts what it could not log, and ends in time.
async fn assert_lives_and_ends(mut system: TestSystem) {
    load(&system).await;
    let counted = async {
        while dropped(&system).await.contains(&0.0) {
            load(&system).await;
        }
    };
    timeout(LIMIT, counted).await.expect("both programs count the lines that they dropped");
    let worker = &mut system.workers[0].process;
    let ended = timeout(END_LIMIT, async { (worker.terminate().await, system.gateway.terminate().await) }).await;
    let (worker, gateway) = ended.expect("both programs end within their grace");
    assert!(worker.unwrap().success() && gateway.unwrap().success());
}

#[tokio::test]
async fn a_log_reader_that_goes_away_stops_no_request_and_no_shutdown() {
    let (mut system, readers) = loud_fleet().await;
    system.ready().await;
    drop(readers);
    assert_lives_and_ends(system).await;
}

#[tokio::test]
async fn a_log_reader_that_stands_still_stops_no_request_and_no_shutdown() {
    let (mut system, _unread) = loud_fleet().await;
    system.ready().await;
    assert_lives_and_ends(system).await;
}

/// Messages of loops in a log of JSON lines, apart from those of single jobs.
fn warnings(log: &std::path::Path) -> Vec<String> {
    let lines = BufReader::new(File::open(log).unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let loud = events.filter(|event| matches!(event["level"].as_str(), Some("WARN" | "ERROR")));
    loud.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn an_outage_of_redis_is_logged_once_by_each_loop() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = TestSystem::start(0, 2).await;
    let settings = [("CSM_LOG", "warn"), ("CSM_LOG_FORMAT", "json")];
    let logs = ["gateway", "worker"].map(|name| folder.path().join(name));
    system.restart_gateway_with(&settings, File::create(&logs[0]).unwrap()).await;
    system.add_worker_with(&settings, File::create(&logs[1]).unwrap());
    system.ready().await;

    system.redis.kill().await.unwrap();
    let (began, away) = (Instant::now(), Duration::from_secs(6));
    sleep(away).await;
    system.redis.restart().await.unwrap();
    load(&system).await;
    assert!(began.elapsed() < Duration::from_secs(30), "within one outage nothing is said twice");
    for log in logs {
        let said = warnings(&log);
        assert!(!said.is_empty(), "{} says nothing of the outage", log.display());
        for message in &said {
            let times = said.iter().filter(|other| *other == message).count();
            assert_eq!(times, 1, "{message:?} in {}: {said:#?}", log.display());
        }
    }
}
