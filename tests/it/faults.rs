//! Whatever is killed, every accepted job ends in exactly one committed result, with the very bytes of an undisturbed run.

use std::collections::HashMap;

use serde_json::Value;

use crate::client::assert_marked;
use crate::stack::TestSystem;

/// Long enough to be killed in mid-utterance.
const FRAMES: u64 = 1_000;
const JOBS: u64 = 8;

/// Submits the jobs.
async fn submit(stack: &TestSystem) -> HashMap<u64, String> {
    let mut jobs = HashMap::new();
    for seed in 0..JOBS {
        jobs.insert(seed, stack.client.submit(seed, FRAMES).await);
    }
    jobs
}

/// Waits until a job has audio but is far from its end.
async fn mid_utterance(stack: &TestSystem, id: &str) -> Value {
    stack.client.job_until(id, |record| record["progress"]["frames"].as_u64().is_some_and(|frames| frames > 5)).await
}

/// Every job succeeded, each file is whole, marked, and the only one its record points to; nothing is left in the lanes.
async fn all_committed_once(stack: &TestSystem, jobs: &HashMap<u64, String>) -> HashMap<u64, Vec<u8>> {
    let mut audio = HashMap::new();
    for (seed, id) in jobs {
        let record = stack.client.finished(id).await;
        let wav = stack.client.audio(&record).await;
        assert_marked(&wav);
        let location = record["receipt"]["location"].as_str().unwrap();
        assert!(location.starts_with(&format!("audio/{id}/a{}-", record["attempt"])), "{location}");
        audio.insert(*seed, wav);
    }
    assert_eq!(stack.lane_depth().await, 0, "no entry is left behind");
    audio
}

#[tokio::test]
async fn a_worker_killed_in_mid_utterance_loses_nothing() {
    let mut stack = TestSystem::start(2, 5).await;
    let jobs = submit(&stack).await;
    let victim_job = mid_utterance(&stack, &jobs[&0]).await;
    stack.workers[0].process.kill9().await.unwrap();
    let audio = all_committed_once(&stack, &jobs).await;

    let mut retried = 0;
    for id in jobs.values() {
        let record = stack.client.job(id).await;
        retried += u64::from(record["attempt"].as_u64().unwrap() > 1);
    }
    assert!(retried > 0, "the killed worker held at least one job: {victim_job}");
    println!("killed one worker of two: {JOBS} results, {retried} of them by a second attempt");

    let again = submit(&stack).await;
    for (seed, wav) in all_committed_once(&stack, &again).await {
        assert_eq!(wav, audio[&seed], "same seed, same bytes, whoever spoke it and however often it was begun");
    }
}

#[tokio::test]
async fn a_killed_gateway_loses_nothing() {
    let mut stack = TestSystem::start(2, 5).await;
    let jobs = submit(&stack).await;
    mid_utterance(&stack, &jobs[&0]).await;
    stack.gateway.kill9().await.unwrap();
    stack.restart_gateway().await;
    all_committed_once(&stack, &jobs).await;
    assert_eq!(stack.stored_files().len() as u64, JOBS, "no second attempt was needed");
}

#[tokio::test]
async fn a_killed_redis_loses_nothing() {
    let mut stack = TestSystem::start(2, 5).await;
    let jobs = submit(&stack).await;
    mid_utterance(&stack, &jobs[&0]).await;
    stack.redis.kill().await.unwrap();
    stack.redis.restart().await.unwrap();
    all_committed_once(&stack, &jobs).await;
    assert_eq!(stack.stored_files().len() as u64, JOBS, "the workers kept their leases");
}
