//! Repair of jobs after a part of the queue was deleted by hand, or lost with a disk.

use std::time::Duration;

use csm_queue::queue::{Beat, Claim, Commit, LEASE, Reaped, RedisKeys, WorkerCapacity, WorkerId};
use csm_shared::job::{JobState, Lane};

use super::{depth, enqueue, receipt, state};
use crate::fleet::{TestFleet, claim, try_claim};

fn keys() -> RedisKeys {
    RedisKeys::new("test", 0)
}

#[tokio::test]
async fn jobs_of_a_deleted_stream_come_back_and_run_once() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let running = enqueue(queue, Lane::Live).await;
    let lease = claim(queue, &owner).await.lease;
    let waiting = [enqueue(queue, Lane::Live).await, enqueue(queue, Lane::Live).await];
    assert!(queue.reconcile_after(Duration::ZERO).await.unwrap().is_empty(), "all is in its place");
    fleet.redis_cli(&["DEL", &keys().lane(Lane::Live)]).await;
    assert!(try_claim(queue, &owner).await.is_none());
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept, "a lease needs no entry");

    assert!(queue.reconcile().await.unwrap().is_empty(), "they were looked at a moment ago");
    let mut mended = queue.reconcile_after(Duration::ZERO).await.unwrap();
    mended.sort_unstable();
    assert_eq!(mended, waiting);
    assert!(queue.reconcile_after(Duration::ZERO).await.unwrap().is_empty(), "once is enough");
    for id in waiting {
        let lease = claim(queue, &owner).await.lease;
        assert_eq!((lease.at().id, lease.at().attempt), (id, 1));
        assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    }
    assert!(try_claim(queue, &owner).await.is_none());
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert_eq!(state(queue, &running).await, JobState::Succeeded);
    assert_eq!(depth(queue).await, 0);
}

#[tokio::test]
async fn every_job_of_a_long_backlog_is_checked() {
    const JOBS: usize = 500;
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let mut waiting = Vec::new();
    for _ in 0..JOBS {
        waiting.push(enqueue(queue, Lane::Bulk).await);
    }
    fleet.redis_cli(&["DEL", &keys().lane(Lane::Bulk)]).await;
    let mut mended = queue.reconcile_after(Duration::ZERO).await.unwrap();
    assert!(!mended.is_empty() && mended.len() < JOBS / 2, "one call checks some: {}", mended.len());
    for _ in 0..JOBS {
        // Goes on with the check that has begun, and begins none.
        mended.extend(queue.reconcile().await.unwrap());
    }
    mended.sort_unstable();
    waiting.sort_unstable();
    assert_eq!(mended, waiting);
    assert_eq!(depth(queue).await, JOBS as u64);
}

#[tokio::test]
async fn a_running_job_without_a_lease_is_taken_back() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Live).await;
    let lost = claim(queue, &owner).await.lease;
    fleet.redis_cli(&["ZREM", &keys().leases(), &id.to_string()]).await;
    assert!(queue.reap().await.unwrap().is_empty());
    assert_eq!(queue.reconcile_after(Duration::ZERO).await.unwrap(), [id]);
    assert_eq!(queue.reap().await.unwrap(), [Reaped { id, state: JobState::Queued }]);
    assert_eq!(claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert_eq!(lost.succeed(&receipt()).await.unwrap(), Commit::Stale);
}

#[tokio::test]
async fn leases_that_ran_out_while_redis_was_away_get_time_for_a_beat() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let (beats, dead) = (enqueue(queue, Lane::Live).await, enqueue(queue, Lane::Live).await);
    let (lease, _silent) = (claim(queue, &owner).await.lease, claim(queue, &owner).await.lease);
    assert!(queue.reap().await.unwrap().is_empty());
    fleet.be_away_for_a_minute().await;
    assert!(queue.reap().await.unwrap().is_empty(), "who could have beaten?");
    assert!(queue.reap().await.unwrap().is_empty(), "there is time left");
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept);
    fleet.redis_cli(&["ZADD", &keys().leases(), "XX", "1", &dead.to_string()]).await;
    fleet.redis_cli(&["HSET", &keys().counters(), "grace_until_ms", "1"]).await;
    assert_eq!(queue.reap().await.unwrap(), [Reaped { id: dead, state: JobState::Queued }], "but not for ever");
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert_eq!(state(queue, &beats).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_retry_and_a_parked_job_whose_place_is_gone_come_back() {
    let options = csm_queue::queue::QueueArgs { tenant_running_max: 1, ..Default::default() };
    let fleet = TestFleet::start_with(&options).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let delayed = enqueue(queue, Lane::Live).await;
    claim(queue, &owner).await.lease.retry(&super::failure(), Duration::from_secs(3_600)).await.unwrap();
    enqueue(queue, Lane::Live).await;
    let running = claim(queue, &owner).await.lease;
    let parked = enqueue(queue, Lane::Live).await;
    assert!(try_claim(queue, &owner).await.is_none());
    assert!(queue.reconcile_after(Duration::ZERO).await.unwrap().is_empty());
    fleet.redis_cli(&["DEL", &keys().delayed(), "test:{q0}:parked:default"]).await;
    let mut mended = queue.reconcile_after(Duration::ZERO).await.unwrap();
    mended.sort_unstable();
    assert_eq!(mended, [delayed, parked]);
    running.succeed(&receipt()).await.unwrap();
    for _ in 0..2 {
        claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap();
    }
    assert_eq!((state(queue, &delayed).await, state(queue, &parked).await), (JobState::Succeeded, JobState::Succeeded));
}

#[tokio::test]
async fn a_destroyed_group_is_made_again_and_loses_nothing() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    enqueue(queue, Lane::Live).await;
    let lease = claim(queue, &owner).await.lease;
    let waiting = enqueue(queue, Lane::Live).await;
    fleet.redis_cli(&["XGROUP", "DESTROY", &keys().lane(Lane::Live), "workers"]).await;
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept);
    let next = claim(queue, &owner).await.lease;
    assert_eq!(next.at().id, waiting, "the one that runs is not given out again");
    assert!(try_claim(queue, &owner).await.is_none());
    assert_eq!(depth(queue).await, 2, "and keeps its entry");
    for lease in [lease, next] {
        assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    }
    assert_eq!((depth(queue).await, queue.stats().await.unwrap().open), (0, 0));
}

#[tokio::test]
async fn suspects_are_still_seen_after_their_group_was_destroyed() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    for _ in 0..3 {
        enqueue(queue, Lane::Live).await;
        claim(queue, &owner).await;
    }
    fleet.expire_leases().await;
    queue.reap().await.unwrap();
    let held = claim(queue, &owner).await.lease;
    fleet.redis_cli(&["XGROUP", "DESTROY", &keys().suspects(), "workers"]).await;
    for _ in 0..2 {
        let job = claim(queue, &owner).await;
        assert!(job.alone);
        assert_eq!(job.lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    }
    assert!(try_claim(queue, &owner).await.is_none());
    assert_eq!(held.succeed(&receipt()).await.unwrap(), Commit::Committed);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.suspects, stats.open), (0, 0));
}

#[tokio::test]
async fn an_emptied_redis_is_an_empty_queue() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let gone = enqueue(queue, Lane::Live).await;
    let lease = claim(queue, &owner).await.lease;
    enqueue(queue, Lane::Live).await;
    fleet.redis_cli(&["FLUSHALL"]).await;
    assert!(matches!(queue.claimer(&owner, "a test").claim(WorkerCapacity::empty(1)).await.unwrap(), Claim::Nothing));
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Lost);
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Stale);
    assert!(queue.record(&gone).await.unwrap().is_none());
    assert!(queue.reap().await.unwrap().is_empty() && queue.reconcile_after(Duration::ZERO).await.unwrap().is_empty());
    assert_eq!((queue.promote().await.unwrap(), queue.tidy().await.unwrap()), (0, 0));
    let fresh = enqueue(queue, Lane::Live).await;
    assert_eq!(claim(queue, &owner).await.lease.at().id, fresh);
}

#[tokio::test]
async fn forgotten_scripts_are_told_again() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    enqueue(queue, Lane::Live).await;
    fleet.redis_cli(&["SCRIPT", "FLUSH"]).await;
    let lease = claim(queue, &owner).await.lease;
    fleet.redis_cli(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept);
    fleet.redis_cli(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert!(queue.reap().await.unwrap().is_empty());
}
