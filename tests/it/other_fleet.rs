//! Processes whose settings differ from those of their fleet: they say so and take no jobs.

use std::fs::{self, File};

use tempfile::TempDir;

use crate::test_system::TestSystem;

/// Adds a worker with settings that differ, and returns its reason for not being ready, and its log.
async fn refusal(system: &mut TestSystem, settings: &[(&str, &str)]) -> (String, String) {
    let logs = TempDir::new().unwrap();
    let file = logs.path().join("worker.log");
    system.add_worker_with(settings, File::create(&file).unwrap());
    let state = system.readiness_until(system.workers.len() - 1, |state| state["status"] == "degraded").await;
    (state["reason"].as_str().unwrap().to_owned(), fs::read_to_string(&file).unwrap())
}

#[tokio::test]
async fn workers_that_differ_from_their_fleet_say_so_and_fail_no_job() {
    let mut system = TestSystem::start(1, 2).await;
    let secret = "a passphrase of another fleet";
    let others: [(&[(&str, &str)], &str); 2] = [
        (&[("CSM_QUEUE_SHARDS", "2")], "shards is \"2\" here and \"1\" in the fleet"),
        (&[("CSM_DEVELOPMENT_WATERMARK", "false"), ("CSM_WATERMARK_KEY", secret)], "mark is "),
    ];
    for (settings, difference) in others {
        let (reason, log) = refusal(&mut system, settings).await;
        assert!(reason.contains(difference) && reason.contains("in the fleet"), "{reason}");
        assert!(log.contains("disagreeing with fleet"), "{log}");
        assert!(!log.contains(secret) && !reason.contains(secret));
    }
    let mut jobs = Vec::new();
    for seed in 0..12 {
        jobs.push(system.client.submit(seed, 5).await);
    }
    for job in &jobs {
        let record = system.client.finished(job).await;
        assert_eq!((&record["status"], &record["attempt"]), (&"succeeded".into(), &1.into()), "{record}");
    }
}

/// Sets a value of the fleet document, as a fleet of other settings would.
async fn set(system: &TestSystem, name: &str, value: &str) {
    let client = redis::Client::open(system.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = redis::cmd("HSET");
    set.arg("csm:{q0}:fleet").arg(name).arg(value).query_async::<u64>(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_running_worker_whose_fleet_has_changed_stops_claiming_and_says_so() {
    let system = TestSystem::start(1, 2).await;
    system.client.finished(&system.client.submit(0, 5).await).await;
    set(&system, "window", "1024").await;
    let degraded = system.readiness_until(0, |state| state["status"] == "degraded").await;
    let reason = degraded["reason"].as_str().unwrap();
    assert!(
        reason.contains("fleet: ") && reason.contains("window is \"2048\" here and \"1024\" in the fleet"),
        "{reason}"
    );
    set(&system, "window", "2048").await;
    system.readiness_until(0, |state| state["status"] == "ready").await;
    // The gateway compares again at once, because it disagreed as well.
    let record = system.client.finished(&system.client.submit(1, 5).await).await;
    assert_eq!((&record["status"], &record["attempt"]), (&"succeeded".into(), &1.into()), "{record}");
}
