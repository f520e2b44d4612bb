//! Fairness: lanes share by weight, none starves, and bulk jobs leave slots free.

use csm_queue::queue::{Claim, Queue, RedisKeys, Ticket, WorkerCapacity, WorkerId};
use csm_shared::job::{JobId, JobSpec, Lane};
use csm_testing::job;
use futures::future::try_join_all;

use super::{enqueue, receipt};
use crate::fleet::{TestFleet, claim, try_claim};

/// Returns a job that is expected to take `frames` frames.
fn spec_of(lane: Lane, frames: u64) -> JobSpec {
    let spec = job().text(&"Well, then. ".repeat(20)).frames(frames).lane(lane).spec();
    assert_eq!(u64::from(spec.expected_frames()), frames);
    spec
}

async fn fill(queue: &Queue, lane: Lane, frames: u64, jobs: usize) {
    let spec = spec_of(lane, frames);
    let tickets: Vec<_> = (0..jobs).map(|_| Ticket::new(JobId::generate())).collect();
    try_join_all(tickets.iter().map(|ticket| queue.enqueue(ticket, &spec))).await.unwrap();
}

#[tokio::test]
async fn full_lanes_share_frames_by_weight() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    // The shares are of frames: counted in jobs, the bulk lane gets far more than its share.
    fill(queue, Lane::Live, 30, 300).await;
    fill(queue, Lane::Standard, 20, 120).await;
    fill(queue, Lane::Bulk, 10, 70).await;
    let mut frames = [0.0; 3];
    for _ in 0..400 {
        let job = claim(queue, &owner).await;
        frames[job.spec.lane as usize] += f64::from(job.spec.expected_frames());
        job.lease.succeed(&receipt()).await.unwrap();
    }
    let all: f64 = frames.iter().sum();
    for (lane, share) in Lane::ALL.into_iter().zip([16.0, 4.0, 1.0]) {
        let due = all * share / 21.0;
        let got = frames[lane as usize];
        assert!((got - due).abs() <= 0.1 * due, "{lane}: {got} frames of {all}; {due} were due");
    }
}

#[tokio::test]
async fn a_lane_that_was_empty_saves_nothing_up() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    fill(queue, Lane::Standard, 10, 40).await;
    for _ in 0..20 {
        claim(queue, &owner).await;
    }
    fill(queue, Lane::Bulk, 10, 20).await;
    let mut bulk = 0;
    for _ in 0..10 {
        bulk += u32::from(claim(queue, &owner).await.spec.lane == Lane::Bulk);
    }
    assert!((1..=3).contains(&bulk), "{bulk} of 10, where two are its share");
}

#[tokio::test]
async fn a_lane_that_was_passed_over_for_too_long_goes_first() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    // A long job puts the bulk lane's next turn far away.
    fill(queue, Lane::Bulk, 200, 1).await;
    claim(queue, &owner).await;
    let waits = enqueue(queue, Lane::Bulk).await;
    fill(queue, Lane::Live, 10, 60).await;
    for _ in 0..50 {
        assert_eq!(claim(queue, &owner).await.spec.lane, Lane::Live);
    }
    let past = (jiff::Timestamp::now().as_millisecond() - 21_000).to_string();
    fleet.redis_cli(&["HSET", &RedisKeys::new("test", 0).counters(), "served:bulk", &past]).await;
    assert_eq!(claim(queue, &owner).await.lease.at().id, waits);
    assert_eq!(claim(queue, &owner).await.spec.lane, Lane::Live);
}

#[tokio::test]
async fn bulk_leaves_the_reserved_slots_to_others() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    enqueue(queue, Lane::Bulk).await;
    let nearly_full = WorkerCapacity { running: 4, bulk: 4, reserve: 1, ..WorkerCapacity::empty(5) };
    assert!(matches!(queue.claimer(&owner, "a test").claim(nearly_full).await.unwrap(), Claim::Nothing));
    let live = enqueue(queue, Lane::Live).await;
    let Claim::Job(job) = queue.claimer(&owner, "a test").claim(nearly_full).await.unwrap() else {
        panic!("a job waits")
    };
    assert_eq!(job.lease.at().id, live);
    let other_bulk = WorkerCapacity { bulk: 3, ..nearly_full };
    assert!(matches!(queue.claimer(&owner, "a test").claim(other_bulk).await.unwrap(), Claim::Job(_)));

    enqueue(queue, Lane::Bulk).await;
    let one_slot = WorkerCapacity { reserve: 1, ..WorkerCapacity::empty(1) };
    assert!(
        matches!(queue.claimer(&owner, "a test").claim(one_slot).await.unwrap(), Claim::Job(_)),
        "one slot cannot be kept back"
    );
    assert!(try_claim(queue, &owner).await.is_none());
}

#[tokio::test]
async fn standard_and_bulk_leave_the_live_reserve_to_live_jobs() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    enqueue(queue, Lane::Standard).await;
    enqueue(queue, Lane::Bulk).await;
    let nearly_full = WorkerCapacity { running: 4, standard: 3, bulk: 1, live_reserve: 1, ..WorkerCapacity::empty(5) };
    assert!(matches!(queue.claimer(&owner, "a test").claim(nearly_full).await.unwrap(), Claim::Nothing));
    let live = enqueue(queue, Lane::Live).await;
    let Claim::Job(job) = queue.claimer(&owner, "a test").claim(nearly_full).await.unwrap() else {
        panic!("a live job waits")
    };
    assert_eq!(job.lease.at().id, live);
    let live_beside = WorkerCapacity { standard: 2, ..nearly_full };
    let Claim::Job(job) = queue.claimer(&owner, "a test").claim(live_beside).await.unwrap() else {
        panic!("a standard job waits")
    };
    assert_eq!(job.spec.lane, Lane::Standard);
    let one_slot = WorkerCapacity { live_reserve: 1, ..WorkerCapacity::empty(1) };
    assert!(
        matches!(queue.claimer(&owner, "a test").claim(one_slot).await.unwrap(), Claim::Job(_)),
        "one slot cannot be kept back"
    );
}
