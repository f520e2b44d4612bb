//! Processes whose settings differ from those of their fleet: they say so and take no jobs.

use std::fs::{self, File};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::test_system::TestSystem;

/// Longest wait for a health port to say what is wrong.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two requests to a health port.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Adds a worker with settings that differ, and returns its reason for not being ready, and its log.
async fn refusal(system: &mut TestSystem, settings: &[(&str, &str)]) -> (String, String) {
    let logs = TempDir::new().unwrap();
    let file = logs.path().join("worker.log");
    system.add_worker_with(settings, File::create(&file).unwrap());
    let url = format!("http://{}/readyz", system.workers.last().unwrap().admin);
    let wait = async {
        loop {
            if let Ok(answer) = reqwest::get(&url).await {
                let state: Value = answer.json().await.unwrap();
                if state["status"] == "degraded" {
                    return state["reason"].as_str().unwrap().to_owned();
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let reason =
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{}", fs::read_to_string(&file).unwrap()));
    (reason, fs::read_to_string(&file).unwrap())
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
