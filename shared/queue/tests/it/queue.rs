//! The queue's transitions on a real Redis: each move and each refusal.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
mod fairness;
mod limits;
mod mending;
mod operators;
mod suspects;

use std::time::Duration;

use csm_queue::queue::{
    Beat, Cancel, Commit, Enqueue, LEASE, Queue, Reaped, RedisKeys, Retry, Ticket, WorkerCapacity, WorkerId,
};
use csm_shared::job::{Failure, FailureClass, JobId, JobState, Lane};
use csm_testing::receipt;

use crate::fleet::{TestFleet, claim, spec, try_claim};

fn failure() -> Failure {
    Failure::new(FailureClass::Transient, "the store was away")
}

async fn enqueue(queue: &Queue, lane: Lane) -> JobId {
    let id = JobId::generate();
    let entered = queue.enqueue(&Ticket::new(id), &spec(lane)).await.unwrap();
    assert!(matches!(entered, Enqueue::Accepted { wait: None } | Enqueue::Paused), "{entered:?}");
    id
}

async fn state(queue: &Queue, id: &JobId) -> JobState {
    queue.record(id).await.unwrap().expect("the job is known").state
}

async fn depth(queue: &Queue) -> u64 {
    queue.stats().await.unwrap().lanes.iter().map(|lane| lane.depth).sum()
}

#[tokio::test]
async fn a_job_goes_in_runs_and_is_committed_once() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Standard).await;
    assert_eq!(
        queue.enqueue(&Ticket::new(id), &spec(Lane::Standard)).await.unwrap(),
        Enqueue::Exists(JobState::Queued)
    );
    assert_eq!(depth(queue).await, 1, "a repeated enqueue changes nothing");

    let job = claim(queue, &owner).await;
    assert_eq!((job.lease.at().id, job.lease.at().attempt, job.alone), (id, 1, false));
    assert_eq!(job.spec, spec(Lane::Standard));
    let lease = job.lease;
    assert!(try_claim(queue, &owner).await.is_none(), "nobody gets it twice");
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept);

    let at = lease.at().clone();
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    let record = queue.record(&id).await.unwrap().expect("kept");
    assert_eq!((record.state, record.receipt), (JobState::Succeeded, Some(receipt())));
    assert!(record.finished >= record.started && record.started >= Some(record.created));
    assert_eq!(depth(queue).await, 0, "finishing acknowledges and deletes");
    assert_eq!(queue.beat(&at, LEASE).await.unwrap(), Beat::Lost);
    assert_eq!(
        queue.enqueue(&Ticket::new(id), &spec(Lane::Standard)).await.unwrap(),
        Enqueue::Exists(JobState::Succeeded)
    );
}

#[tokio::test]
async fn the_most_urgent_lane_goes_first_and_each_is_in_order() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let bulk = enqueue(queue, Lane::Bulk).await;
    let first = enqueue(queue, Lane::Standard).await;
    let second = enqueue(queue, Lane::Standard).await;
    let live = enqueue(queue, Lane::Live).await;
    assert_eq!(queue.ahead(&second).await.unwrap(), Some(1));
    let mut order = Vec::new();
    while let Some(job) = try_claim(queue, &owner).await {
        order.push(job.lease.at().id);
    }
    assert_eq!(order, [live, first, bulk, second], "the second waits until the bulk lane has had its share");
    assert_eq!(queue.ahead(&second).await.unwrap(), None, "a running job waits behind nobody");
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_can_write_nothing() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let id = enqueue(queue, Lane::Live).await;
    let stale = claim(queue, &WorkerId::of_this_process("slow")).await.lease;
    fleet.expire_leases().await;
    assert_eq!(queue.reap().await.unwrap().len(), 1);
    let record = queue.record(&id).await.unwrap().expect("known");
    assert_eq!((record.state, record.suspect, record.crashes, record.failures), (JobState::Queued, true, 0, 0));

    let owner = WorkerId::of_this_process("fast");
    let lease = claim(queue, &owner).await.lease;
    assert_eq!(lease.at().attempt, 2);
    assert_eq!(queue.beat(stale.at(), LEASE).await.unwrap(), Beat::Lost);
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept, "the stale beat stole nothing");
    assert_eq!(stale.succeed(&receipt()).await.unwrap(), Commit::Stale);
    assert_eq!(state(queue, &id).await, JobState::Running);
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
}

#[tokio::test]
async fn a_lease_that_is_beaten_outlives_its_first_term() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    enqueue(queue, Lane::Live).await;
    let lease = claim(queue, &WorkerId::of_this_process("a")).await.lease;
    fleet.expire_leases().await;
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept);
    assert!(queue.reap().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_attempt_waits_out_its_delay_and_the_third_is_the_last() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Bulk).await;
    let long = Duration::from_secs(3_600);
    assert_eq!(claim(queue, &owner).await.lease.retry(&failure(), long).await.unwrap(), Retry::Queued);
    assert!(try_claim(queue, &owner).await.is_none(), "not due yet");
    assert_eq!(queue.stats().await.unwrap().delayed, 1);
    fleet.make_retries_due().await;
    assert_eq!(queue.promote().await.unwrap(), 1);
    assert_eq!(claim(queue, &owner).await.lease.retry(&failure(), Duration::ZERO).await.unwrap(), Retry::Queued);
    assert_eq!(claim(queue, &owner).await.lease.retry(&failure(), Duration::ZERO).await.unwrap(), Retry::Failed);
    let record = queue.record(&id).await.unwrap().expect("known");
    assert_eq!((record.state, record.failures, record.failure), (JobState::Failed, 3, Some(failure())));
}

#[tokio::test]
async fn handing_back_burns_no_attempt_and_keeps_the_place_for_another_worker() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let id = enqueue(queue, Lane::Standard).await;
    for _ in 0..5 {
        assert_eq!(claim(queue, &WorkerId::of_this_process("a")).await.lease.release().await.unwrap(), Retry::Queued);
    }
    let record = queue.record(&id).await.unwrap().expect("known");
    assert_eq!((record.state, record.attempt, record.failures, record.crashes), (JobState::Queued, 5, 0, 0));
    assert_eq!(depth(queue).await, 1);
}

#[tokio::test]
async fn a_job_given_back_for_a_shared_fault_waits_and_is_not_charged() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Live).await;
    let long = Duration::from_secs(3_600);
    for _ in 0..5 {
        assert_eq!(claim(queue, &owner).await.lease.release_after(long).await.unwrap(), Retry::Queued);
        assert!(try_claim(queue, &owner).await.is_none(), "not due yet");
        fleet.make_retries_due().await;
    }
    let lost = claim(queue, &owner).await.lease;
    queue.cancel(&id).await.unwrap();
    let record = queue.record(&id).await.unwrap().expect("known");
    assert_eq!((record.attempt, record.failures, record.crashes), (6, 0, 0));
    assert_eq!(lost.release_after(long).await.unwrap(), Retry::Cancelled, "a cancelled job waits for nothing");
}

#[tokio::test]
async fn cancelling_works_in_every_state() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    assert_eq!(queue.cancel(&JobId::generate()).await.unwrap(), Cancel::Missing);

    let waiting = enqueue(queue, Lane::Live).await;
    assert_eq!(queue.cancel(&waiting).await.unwrap(), Cancel::Cancelled);
    assert_eq!(queue.cancel(&waiting).await.unwrap(), Cancel::Cancelled, "repeating it is harmless");
    assert!(try_claim(queue, &owner).await.is_none(), "a cancelled job is skipped");
    assert_eq!(depth(queue).await, 0, "and its entry cleared away");

    let running = enqueue(queue, Lane::Live).await;
    let lease = claim(queue, &owner).await.lease;
    assert_eq!(queue.cancel(&running).await.unwrap(), Cancel::Cancelling);
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::CancelRequested);
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Cancelled, "a result after the cancel is not taken");
    assert_eq!(state(queue, &running).await, JobState::Cancelled);

    let done = enqueue(queue, Lane::Live).await;
    claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap();
    assert_eq!(queue.cancel(&done).await.unwrap(), Cancel::AlreadyFinal(JobState::Succeeded));

    let retried = enqueue(queue, Lane::Live).await;
    let lease = claim(queue, &owner).await.lease;
    queue.cancel(&retried).await.unwrap();
    assert_eq!(lease.retry(&failure(), Duration::ZERO).await.unwrap(), Retry::Cancelled);

    let dropped = enqueue(queue, Lane::Live).await;
    let _lost = claim(queue, &owner).await.lease;
    queue.cancel(&dropped).await.unwrap();
    fleet.expire_leases().await;
    assert_eq!(queue.reap().await.unwrap()[0].state, JobState::Cancelled);
}

#[tokio::test]
async fn a_crowd_of_called_off_jobs_does_not_hold_up_the_next() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    for _ in 0..150 {
        let id = enqueue(queue, Lane::Live).await;
        queue.cancel(&id).await.unwrap();
    }
    let wanted = enqueue(queue, Lane::Live).await;
    assert_eq!(claim(queue, &owner).await.lease.at().id, wanted, "one claim clears them all away");
    assert_eq!(depth(queue).await, 1);
}

#[tokio::test]
async fn a_full_redis_takes_nothing_new_but_ends_and_takes_back_what_it_has() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let ids = [enqueue(queue, Lane::Live).await, enqueue(queue, Lane::Live).await, enqueue(queue, Lane::Live).await];
    let [done, failed, _lost] =
        [claim(queue, &owner).await.lease, claim(queue, &owner).await.lease, claim(queue, &owner).await.lease];
    fleet.limit_memory("1mb").await;

    let refused = fleet.impatient_queue().enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await;
    assert!(refused.is_err_and(|error| error.is_transient()), "worth another try later");
    assert_eq!(queue.beat(done.at(), LEASE).await.unwrap(), Beat::Kept);
    assert_eq!(done.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert_eq!(failed.retry(&failure(), Duration::ZERO).await.unwrap(), Retry::Queued);
    let again = claim(queue, &owner).await.lease;
    assert_eq!(again.at().id, ids[1]);
    assert_eq!(again.release().await.unwrap(), Retry::Queued);
    assert_eq!(queue.cancel(&ids[1]).await.unwrap(), Cancel::Cancelled);
    assert_eq!(queue.cancel(&ids[2]).await.unwrap(), Cancel::Cancelling);
    fleet.limit_memory("0").await;
    fleet.expire_leases().await;
    fleet.limit_memory("1mb").await;
    assert_eq!(queue.reap().await.unwrap(), [Reaped { id: ids[2], state: JobState::Cancelled }]);
}

#[tokio::test]
async fn a_redis_that_was_full_before_the_first_claim_still_gives_out_what_it_has() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Bulk).await;
    fleet.limit_memory("1mb").await;
    let lease = claim(queue, &owner).await.lease;
    assert_eq!(lease.at().id, id);
    assert_eq!(lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert!(try_claim(queue, &owner).await.is_none());
}

#[tokio::test]
async fn jobs_survive_a_killed_redis() {
    let mut fleet = TestFleet::start().await;
    let owner = WorkerId::of_this_process("a");
    let waiting = enqueue(&fleet.queue, Lane::Live).await;
    let running = claim(&fleet.queue, &owner).await.lease;
    let second = enqueue(&fleet.queue, Lane::Live).await;
    fleet.redis.kill().await.unwrap();
    fleet.redis.restart().await.unwrap();
    assert_eq!(running.succeed(&receipt()).await.unwrap(), Commit::Committed);
    assert_eq!(state(&fleet.queue, &waiting).await, JobState::Succeeded);
    assert_eq!(claim(&fleet.queue, &owner).await.lease.at().id, second);
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_a_job() {
    let fleet = TestFleet::start().await;
    let mut wake = fleet.queue.wake_listener();
    let (waited, _) = tokio::join!(wake.wait(WorkerCapacity::empty(5)), enqueue(&fleet.queue, Lane::Live));
    waited.unwrap();
    let mut tokens = redis::cmd("LLEN");
    let left: u64 = fleet.client.command(tokens.arg(RedisKeys::new("test", 0).wake(Lane::Live))).await.unwrap();
    assert_eq!(left, 0, "woken by the token, not by the end of the wait");
}
