//! Five slots: five jobs run, the sixth waits and is told so, and a cancel lets it begin.

use serde_json::Value;

use crate::test_system::TestSystem;

/// Frames of a job: enough that none ends during the test.
const LONG: u64 = 5_000;

#[tokio::test]
async fn five_run_the_sixth_waits_and_a_cancel_lets_it_in() {
    let system = TestSystem::start(1, 5).await;
    let client = &system.client;
    let mut running = Vec::new();
    for seed in 0..5 {
        let id = client.submit(seed, LONG).await;
        client.job_until(&id, |record| record["status"] == "running").await;
        running.push(id);
    }
    let sixth = client.submit(5, 10).await;
    let seventh = client.submit(6, 10).await;
    let waiting = client.job(&seventh).await;
    assert_eq!(waiting["status"], "queued", "{waiting}");
    assert_eq!(waiting["queue"]["ahead"], 1, "{waiting}");
    assert_eq!(client.job(&sixth).await["queue"]["ahead"], 0);
    for id in &running {
        assert_eq!(client.job(id).await["status"], "running");
    }

    let cancelled = client.delete(&format!("/v1/jobs/{}", running[2])).await;
    assert_eq!(cancelled.status(), 200);
    let record = client.finished(&running[2]).await;
    assert_eq!(record["status"], "cancelled");
    for id in [&sixth, &seventh] {
        let record = client.finished(id).await;
        client.audio(&record).await;
    }
    for id in [0, 1, 3, 4].map(|index| &running[index]) {
        let record: Value = client.job(id).await;
        assert_eq!(record["status"], "running", "the others went on: {record}");
        client.delete(&format!("/v1/jobs/{id}")).await;
        assert_eq!(client.finished(id).await["status"], "cancelled");
    }
}
