//! Fairness: lanes share by weight, none starves, and bulk jobs leave slots free.

use csm_queue::queue::{Claim, Enqueue, Queue, RedisKeys, Ticket, WorkerCapacity, WorkerId, WorkerReport};
use csm_shared::job::{JobId, JobSpec, Lane};
use csm_testing::job;
use futures::future::try_join_all;

use super::{enqueue, receipt};
use crate::fleet::{TestFleet, claim, spec, try_claim};

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

#[tokio::test]
async fn a_worker_of_bulk_jobs_takes_and_wakes_for_nothing_else() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let bulk_only = WorkerCapacity { bulk_only: true, live_reserve: 1, reserve: 1, ..WorkerCapacity::empty(5) };
    assert_eq!(bulk_only.lane_slots(), [0, 0, 5]);
    enqueue(queue, Lane::Live).await;
    enqueue(queue, Lane::Standard).await;
    let mut claimer = queue.claimer(&owner, "a test");
    assert!(matches!(claimer.claim(bulk_only).await.unwrap(), Claim::Nothing));

    // The tokens of the other lanes are still there when its wait is over.
    let keys = RedisKeys::new("test", 0);
    let mut wake = queue.wake_listener();
    wake.wait(bulk_only).await.unwrap();
    let tokens = async |lane| {
        let mut length = redis::cmd("LLEN");
        fleet.client.command::<u64>(length.arg(keys.wake(lane))).await.unwrap()
    };
    assert_eq!([tokens(Lane::Live).await, tokens(Lane::Standard).await], [1, 1]);
    let (woken, bulk) = tokio::join!(wake.wait(bulk_only), enqueue(queue, Lane::Bulk));
    woken.unwrap();
    assert_eq!(tokens(Lane::Bulk).await, 0, "woken by the token, not by the end of the wait");
    let nearly_full = WorkerCapacity { running: 4, bulk: 4, ..bulk_only };
    let Claim::Job(job) = claimer.claim(nearly_full).await.unwrap() else { panic!("a bulk job waits") };
    assert_eq!(job.lease.at().id, bulk);
    assert!(matches!(claimer.claim(nearly_full).await.unwrap(), Claim::Nothing));
}

/// Slots that take no live jobs shorten no live job's wait.
#[tokio::test]
async fn waits_are_predicted_from_the_workers_of_a_lane() {
    let fleet = TestFleet::start().await;
    let (queue, frames) = (&fleet.queue, f64::from(spec(Lane::Live).expected_frames()));
    // Slots that make a job a second each.
    let report = |lane_slots: [u8; 3]| WorkerReport {
        host: "h".into(),
        model: "m".into(),
        build: "b".into(),
        slots: lane_slots[2],
        lane_slots,
        running: 0,
        frames_per_second: frames * f64::from(lane_slots[2]),
        frames: 0,
        draining: false,
    };
    let wait = async |lane| match queue.enqueue(&Ticket::new(JobId::generate()), &spec(lane)).await.unwrap() {
        Enqueue::Accepted { wait } => wait.map(|wait| wait.as_secs_f64()),
        other => panic!("{other:?}"),
    };
    queue.report(&WorkerId::of_this_process("bulk"), &report([0, 0, 32])).await.unwrap();
    assert_eq!(wait(Lane::Live).await, None, "no worker takes live jobs");
    assert_eq!(wait(Lane::Bulk).await, Some(0.0));
    queue.report(&WorkerId::of_this_process("all"), &report([1, 1, 1])).await.unwrap();
    for _ in 0..8 {
        wait(Lane::Live).await;
    }
    let ninth = wait(Lane::Live).await.unwrap();
    assert!((8.0..12.0).contains(&ninth), "{ninth} s behind nine jobs, on one slot");
    assert_eq!(wait(Lane::Bulk).await, Some(0.0), "31 slots are free");
}
