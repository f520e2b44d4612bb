//! Whatever is killed, every accepted job ends in exactly one committed result, with the very bytes
//! of an undisturbed run.

use std::collections::HashMap;

use serde_json::Value;

use crate::test_client::assert_marked;
use crate::test_system::TestSystem;

/// Frames of a job: enough to kill its worker in mid-utterance.
const FRAMES: u64 = 1_000;
const JOBS: u64 = 8;

/// Submits the jobs.
async fn submit(system: &TestSystem) -> HashMap<u64, String> {
    let mut jobs = HashMap::new();
    for seed in 0..JOBS {
        jobs.insert(seed, system.client.submit(seed, FRAMES).await);
    }
    jobs
}

/// Waits until a job has audio but is far from its end.
async fn mid_utterance(system: &TestSystem, id: &str) -> Value {
    system.client.job_until(id, |record| record["progress"]["frames"].as_u64().is_some_and(|frames| frames > 5)).await
}

/// Checks that every job succeeded and every lane is empty. Each file is whole, marked, and the
/// only one its record points to.
async fn all_committed_once(system: &TestSystem, jobs: &HashMap<u64, String>) -> HashMap<u64, Vec<u8>> {
    let mut audio = HashMap::new();
    for (seed, id) in jobs {
        let record = system.client.finished(id).await;
        let wav = system.client.audio(&record).await;
        assert_marked(&wav);
        let location = record["receipt"]["location"].as_str().unwrap();
        assert!(location.starts_with(&format!("audio/{id}/a{}-", record["attempt"])), "{location}");
        audio.insert(*seed, wav);
    }
    assert_eq!(system.lane_depth().await, 0, "no entry is left behind");
    audio
}

#[tokio::test]
async fn a_worker_killed_in_mid_utterance_loses_nothing() {
    let mut system = TestSystem::start(2, 5).await;
    let jobs = submit(&system).await;
    let victim_job = mid_utterance(&system, &jobs[&0]).await;
    system.workers[0].process.kill9().await.unwrap();
    let audio = all_committed_once(&system, &jobs).await;

    let mut retried = 0;
    for id in jobs.values() {
        let record = system.client.job(id).await;
        retried += u64::from(record["attempt"].as_u64().unwrap() > 1);
    }
    assert!(retried > 0, "the killed worker held at least one job: {victim_job}");
    println!("killed one worker of two: {JOBS} results, {retried} of them by a second attempt");

    let again = submit(&system).await;
    for (seed, wav) in all_committed_once(&system, &again).await {
        assert_eq!(wav, audio[&seed], "same seed, same bytes, whoever spoke it and however often it was begun");
    }
}

#[tokio::test]
async fn a_killed_gateway_loses_nothing() {
    let mut system = TestSystem::start(2, 5).await;
    let jobs = submit(&system).await;
    mid_utterance(&system, &jobs[&0]).await;
    system.gateway.kill9().await.unwrap();
    system.restart_gateway().await;
    all_committed_once(&system, &jobs).await;
    assert_eq!(system.stored_files().len() as u64, JOBS, "no second attempt was needed");
}

#[tokio::test]
async fn a_killed_redis_loses_nothing() {
    let mut system = TestSystem::start(2, 5).await;
    let jobs = submit(&system).await;
    mid_utterance(&system, &jobs[&0]).await;
    system.redis.kill().await.unwrap();
    system.redis.restart().await.unwrap();
    all_committed_once(&system, &jobs).await;
    assert_eq!(system.stored_files().len() as u64, JOBS, "the workers kept their leases");
}
