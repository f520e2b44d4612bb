//! Live jobs behind long standard jobs, in real processes: they wait as in an idle fleet, and the
//! predicted wait holds.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::test_system::TestSystem;

/// Difference in seconds between two waits that is never counted: much less than a long job takes.
const SLACK: f64 = 1.0;
/// Frames of a long job, two minutes of audio.
const LONG: u64 = 1_500;
/// Reports of the worker until its rate is that of a busy worker.
const REPORTS: usize = 2;

/// Predicted and seen wait of a job, in seconds.
#[derive(Debug)]
struct Wait {
    told: f64,
    seen: f64,
}

impl Wait {
    /// Returns whether the prediction is wrong by more than a factor of two.
    fn is_wrong(&self) -> bool {
        let Self { told, seen } = *self;
        (told - seen).abs() > SLACK && (told > 2.0 * seen || seen > 2.0 * told)
    }
}

/// Posts live jobs, all before the end of the first one, and returns their waits.
async fn live(system: &TestSystem, count: usize, frames: u64) -> Vec<Wait> {
    let mut accepted = Vec::new();
    for seed in 0..count {
        let text = "All good things take time. ".repeat(1 + frames as usize / 30);
        let body = json!({ "text": text, "lane": "live", "seed": seed, "max_audio_length_ms": frames * 80 });
        let answer = system.client.post("/v1/jobs", &body).await;
        assert_eq!(answer.status(), 202);
        accepted.push(answer.json::<Value>().await.unwrap());
    }
    let mut waits = Vec::new();
    for job in accepted {
        let record = system.client.finished(job["id"].as_str().unwrap()).await;
        assert_eq!(record["status"], "succeeded", "{record}");
        let time = |field: &str| record[field].as_str().unwrap().parse::<Timestamp>().unwrap();
        let seen = time("started_at").duration_since(time("created_at")).as_secs_f64();
        // A job that had begun before the answer was made has no place to tell.
        waits.push(Wait { told: job["queue"]["wait_s"].as_f64().unwrap_or_default(), seen });
    }
    waits
}

/// Posts live jobs one by one, and returns their waits.
async fn live_one_by_one(system: &TestSystem, count: usize) -> Vec<Wait> {
    let mut waits = Vec::new();
    for _ in 0..count {
        waits.extend(live(system, 1, 10).await);
    }
    waits
}

/// Returns the living workers, each with the time until which its last report holds.
async fn reports(system: &TestSystem) -> Vec<String> {
    let client = redis::Client::open(system.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut alive = redis::cmd("ZRANGE");
    alive.arg("csm:{q0}:alive").arg(0).arg(-1).arg("WITHSCORES").query_async(&mut connection).await.unwrap()
}

/// Percentile of the seen waits, in seconds.
fn p95(waits: &[Wait]) -> f64 {
    let mut seen: Vec<_> = waits.iter().map(|wait| wait.seen).collect();
    seen.sort_by(f64::total_cmp);
    seen[seen.len() * 95 / 100]
}

#[tokio::test]
async fn live_jobs_wait_behind_long_standard_jobs_as_in_an_idle_fleet() {
    let mut system = TestSystem::start(0, 4).await;
    let log = tempfile::tempfile().unwrap();
    system.add_worker_with(&[("CSM_LIVE_RESERVE_SLOTS", "1")], log);
    system.ready().await;
    live_one_by_one(&system, 3).await;
    let idle = live_one_by_one(&system, 20).await;

    let mut long = Vec::new();
    for seed in 0..12 {
        long.push(system.client.submit(seed, LONG).await);
    }
    for id in &long[..3] {
        system.client.job_until(id, |record| record["status"] == "running").await;
    }
    let mut behind = live_one_by_one(&system, 20).await;
    // After some reports the worker's rate is one that was measured beside the long jobs.
    for _ in 0..REPORTS {
        let before = reports(&system).await;
        while reports(&system).await == before {
            behind.extend(live_one_by_one(&system, 1).await);
        }
    }
    let crowded = live(&system, 6, 40).await;
    let mut running = 0;
    for id in &long {
        running += usize::from(system.client.job(id).await["status"] == "running");
    }
    assert_eq!(running, 3, "long jobs fill all slots but the one that is kept for live jobs");
    let (idle_p95, behind_p95) = (p95(&idle), p95(&behind));
    println!("p95 of the live wait: {idle_p95:.3} s idle, {behind_p95:.3} s behind long jobs ({})", behind.len());
    println!("six live jobs at once: {crowded:.2?}");
    assert!(behind_p95 <= 2.0 * idle_p95 + SLACK, "{idle_p95} s idle, {behind_p95} s behind long jobs");
    for wait in idle.iter().chain(&behind).chain(&crowded) {
        assert!(!wait.is_wrong(), "{wait:?}");
    }
}
