//! Bounds on how long a job waits, and on how many jobs one tenant has.

use std::time::Duration;

use csm_queue::queue::{
    Beat, Cancel, Claim, Commit, Enqueue, LEASE, QueueArgs, QueueError, Retry, Ticket, WorkerCapacity, WorkerId,
};
use csm_shared::job::{JobId, JobState, Lane};
use jiff::{Timestamp, ToSpan as _};

use super::{depth, enqueue, receipt, state};
use crate::fleet::{TestFleet, claim, spec, try_claim};

const HOUR: Duration = Duration::from_secs(3_600);

async fn enqueue_as(fleet: &TestFleet, fill: impl FnOnce(&mut Ticket)) -> JobId {
    let mut ticket = Ticket::new(JobId::generate());
    fill(&mut ticket);
    fleet.queue.enqueue(&ticket, &spec(Lane::Standard)).await.unwrap();
    ticket.id
}

async fn enqueue_for(fleet: &TestFleet, hours: u64) -> JobId {
    enqueue_as(fleet, |ticket| ticket.expires_in = Some(HOUR * hours as u32)).await
}

#[tokio::test]
async fn a_job_that_waited_too_long_expires_and_one_with_time_does_not() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let (late, early) = (enqueue_for(&fleet, 1).await, enqueue_for(&fleet, 2).await);
    assert!(queue.expire().await.unwrap().is_empty());
    fleet.pass_deadline(&late).await;
    assert_eq!(queue.expire().await.unwrap(), [late]);
    assert!(queue.expire().await.unwrap().is_empty(), "it ends once");
    assert_eq!((state(queue, &late).await, state(queue, &early).await), (JobState::Expired, JobState::Queued));
    assert_eq!(queue.cancel(&late).await.unwrap(), Cancel::AlreadyFinal(JobState::Expired));
    assert_eq!(depth(queue).await, 1, "and leaves no entry");
    assert_eq!(claim(queue, &WorkerId::of_this_process("a")).await.lease.at().id, early);
    assert_eq!(depth(queue).await, 1);
}

#[tokio::test]
async fn a_claim_that_meets_an_overdue_job_ends_it() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let late = enqueue_for(&fleet, 1).await;
    fleet.pass_deadline(&late).await;
    let claimed = queue.claimer(&owner, "a test").claim(WorkerCapacity::empty(1)).await.unwrap();
    assert!(matches!(claimed, Claim::Expired(id) if id == late), "{claimed:?}");
    assert_eq!((state(queue, &late).await, depth(queue).await), (JobState::Expired, 0));
    assert!(queue.expire().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_that_began_in_time_never_expires_by_its_wait() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue_for(&fleet, 1).await;
    let lease = claim(queue, &owner).await.lease;
    fleet.pass_deadline(&id).await;
    assert!(queue.expire().await.unwrap().is_empty());
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept, "nobody set a deadline");
    assert_eq!(lease.release().await.unwrap(), Retry::Queued);
    assert!(queue.expire().await.unwrap().is_empty(), "its wait was over in time; this one is not the caller's matter");
    assert_eq!(claim(queue, &owner).await.lease.at().id, id);
}

#[tokio::test]
async fn a_job_with_a_deadline_expires_when_it_waits_again() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue_as(&fleet, |ticket| ticket.deadline = Some(Timestamp::now() + 1.hour())).await;
    let lease = claim(queue, &owner).await.lease;
    fleet.pass_deadline(&id).await;
    assert!(queue.expire().await.unwrap().is_empty());
    assert_eq!(lease.release().await.unwrap(), Retry::Queued);
    assert_eq!(queue.expire().await.unwrap(), [id]);
    assert_eq!(state(queue, &id).await, JobState::Expired);
}

#[tokio::test]
async fn a_worker_learns_that_the_deadline_is_over() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue_as(&fleet, |ticket| ticket.deadline = Some(Timestamp::now() + 1.hour())).await;
    let lease = claim(queue, &owner).await.lease;
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Kept);
    fleet.pass_deadline(&id).await;
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::Late);
    assert_eq!(queue.cancel(&id).await.unwrap(), Cancel::Cancelling);
    assert_eq!(queue.beat(lease.at(), LEASE).await.unwrap(), Beat::CancelRequested, "a cancel says more");
    assert_eq!(lease.cancelled().await.unwrap(), Commit::Committed);

    let past = enqueue_as(&fleet, |ticket| ticket.deadline = Some(Timestamp::now() - 1.hour())).await;
    assert_eq!(queue.expire().await.unwrap(), [past], "one that comes too late never runs");
}

#[tokio::test]
async fn one_tenant_runs_no_more_than_its_jobs_at_a_time_and_holds_nobody_up() {
    let fleet = TestFleet::start_with(&QueueArgs { tenant_running_max: 1, ..QueueArgs::default() }).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let (first, second) = (enqueue(queue, Lane::Live).await, enqueue(queue, Lane::Live).await);
    let other = enqueue_as(&fleet, |ticket| ticket.tenant = "other".parse().unwrap()).await;
    let running = claim(queue, &owner).await.lease;
    assert_eq!(running.at().id, first);
    let others = claim(queue, &owner).await.lease;
    assert_eq!(others.at().id, other, "of another tenant, and behind in a less urgent lane");
    assert!(try_claim(queue, &owner).await.is_none());
    assert_eq!((state(queue, &second).await, queue.ahead(&second).await.unwrap()), (JobState::Queued, None));
    others.succeed(&receipt()).await.unwrap();
    assert!(try_claim(queue, &owner).await.is_none(), "the other tenant's end makes no room");
    assert_eq!(depth(queue).await, 1, "what runs");
    running.succeed(&receipt()).await.unwrap();
    assert_eq!(depth(queue).await, 1, "the end of one lets the next one in, at once");
    let lease = claim(queue, &owner).await.lease;
    assert_eq!(lease.at().id, second);
    lease.succeed(&receipt()).await.unwrap();
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.open, stats.running, depth(queue).await), (0, 0, 0));
}

#[tokio::test]
async fn a_job_that_waits_for_its_tenant_can_be_called_off_and_can_expire() {
    let fleet = TestFleet::start_with(&QueueArgs { tenant_running_max: 1, ..QueueArgs::default() }).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    enqueue(queue, Lane::Standard).await;
    let running = claim(queue, &owner).await.lease;
    let (called_off, late) = (enqueue(queue, Lane::Standard).await, enqueue_for(&fleet, 1).await);
    let last = enqueue(queue, Lane::Standard).await;
    assert!(try_claim(queue, &owner).await.is_none());
    assert_eq!(queue.cancel(&called_off).await.unwrap(), Cancel::Cancelled);
    fleet.pass_deadline(&late).await;
    assert_eq!(queue.expire().await.unwrap(), [late]);
    running.succeed(&receipt()).await.unwrap();
    assert_eq!(claim(queue, &owner).await.lease.at().id, last);
    assert!(try_claim(queue, &owner).await.is_none());
}

#[tokio::test]
async fn a_tenant_may_have_so_many_jobs_and_no_more() {
    let fleet = TestFleet::start_with(&QueueArgs { tenant_open_max: 2, ..QueueArgs::default() }).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let first = enqueue(queue, Lane::Live).await;
    enqueue(queue, Lane::Bulk).await;
    let ticket = Ticket::new(JobId::generate());
    let refused = queue.enqueue(&ticket, &spec(Lane::Live)).await.unwrap_err();
    assert!(matches!(refused, QueueError::TenantFull { open: 2, limit: 2, .. }), "{refused}");
    assert_eq!(queue.enqueue(&Ticket::new(first), &spec(Lane::Live)).await.unwrap(), Enqueue::Exists(JobState::Queued));
    let other = Ticket { tenant: "other".parse().unwrap(), ..Ticket::new(JobId::generate()) };
    assert!(queue.enqueue(&other, &spec(Lane::Live)).await.is_ok());
    claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap();
    assert!(queue.enqueue(&ticket, &spec(Lane::Live)).await.is_ok(), "an end makes room");
}

#[tokio::test]
async fn a_lane_and_a_tenant_hold_so_many_bytes_of_requests_and_no_more() {
    let long = |lane| csm_testing::job().text(&"word ".repeat(800)).lane(lane).spec();
    // A request of such a text takes 4 to 5 KB: two fit a tenant, three a lane.
    let options = QueueArgs { lane_bytes_max: 14_000, tenant_bytes_max: 10_000, ..QueueArgs::default() };
    let fleet = TestFleet::start_with(&options).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let enqueue = async |tenant: &str, lane| {
        let ticket = Ticket { tenant: tenant.parse().unwrap(), ..Ticket::new(JobId::generate()) };
        queue.enqueue(&ticket, &long(lane)).await.map(|_| ticket.id)
    };
    let first = enqueue("one", Lane::Standard).await.unwrap();
    enqueue("one", Lane::Bulk).await.unwrap();
    let refused = enqueue("one", Lane::Live).await.unwrap_err();
    assert!(matches!(refused, QueueError::TenantBytesFull { bytes: 8_000..=10_000, limit: 10_000, .. }), "{refused}");
    for tenant in ["two", "three"] {
        enqueue(tenant, Lane::Standard).await.unwrap();
    }
    let refused = enqueue("four", Lane::Standard).await.unwrap_err();
    assert!(matches!(refused, QueueError::LaneBytesFull { bytes: 12_000..=14_000, limit: 14_000, .. }), "{refused}");
    assert!(refused.is_transient());
    // Each end makes room, whatever it is.
    assert_eq!(queue.cancel(&first).await.unwrap(), Cancel::Cancelled);
    enqueue("one", Lane::Standard).await.unwrap();
    assert!(enqueue("four", Lane::Standard).await.is_err());
    claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap();
    enqueue("four", Lane::Standard).await.unwrap();
}

#[tokio::test]
async fn jobs_that_are_created_and_cancelled_leave_nothing_behind() {
    let fleet = TestFleet::start_with(&QueueArgs { tenant_open_max: 5, ..QueueArgs::default() }).await;
    let queue = &fleet.queue;
    let first = enqueue(queue, Lane::Standard).await;
    for _ in 0..500 {
        let id = enqueue(queue, Lane::Standard).await;
        assert_eq!(queue.cancel(&id).await.unwrap(), Cancel::Cancelled);
    }
    let late = enqueue_for(&fleet, 1).await;
    fleet.pass_deadline(&late).await;
    assert_eq!(queue.expire().await.unwrap(), [late]);
    let last = enqueue(queue, Lane::Standard).await;
    assert_eq!((depth(queue).await, queue.ahead(&last).await.unwrap()), (2, Some(1)), "what waits, and nothing else");
    let owner = WorkerId::of_this_process("a");
    for id in [first, last] {
        let lease = claim(queue, &owner).await.lease;
        assert_eq!(lease.at().id, id);
        lease.succeed(&receipt()).await.unwrap();
    }
    assert_eq!(depth(queue).await, 0);
}

#[tokio::test]
async fn a_tenant_may_create_and_cancel_so_often_and_no_more() {
    let fleet = TestFleet::start_with(&QueueArgs { tenant_rate_max: 10, ..QueueArgs::default() }).await;
    let queue = &fleet.queue;
    let mut last = Ticket::new(JobId::generate());
    for _ in 0..5 {
        last = Ticket::new(JobId::generate());
        assert!(queue.enqueue(&last, &spec(Lane::Live)).await.is_ok());
        assert_eq!(queue.cancel(&last.id).await.unwrap(), Cancel::Cancelled);
    }
    let refused = queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await.unwrap_err();
    assert!(refused.is_transient());
    let QueueError::TenantRate { limit: 10, pause, .. } = refused else { panic!("{refused}") };
    assert!(pause > Duration::from_secs(5) && pause <= Duration::from_secs(6), "a tenth of a minute: {pause:?}");
    let repeated = queue.enqueue(&last, &spec(Lane::Live)).await.unwrap();
    assert_eq!(repeated, Enqueue::Exists(JobState::Cancelled), "a repeat creates nothing");
    assert_eq!(queue.cancel(&last.id).await.unwrap(), Cancel::Cancelled, "a cancel is never refused");
    let other = Ticket { tenant: "other".parse().unwrap(), ..Ticket::new(JobId::generate()) };
    assert!(queue.enqueue(&other, &spec(Lane::Live)).await.is_ok());
    let rates = format!("{}rate:default", csm_queue::queue::RedisKeys::new("test", 0).root());
    let mut ttl = redis::cmd("PTTL");
    assert!((1..=60_000).contains(&fleet.client.command::<i64>(ttl.arg(rates)).await.unwrap()), "forgotten in time");
}
