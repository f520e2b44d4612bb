//! Rounds of housekeeping: batches that follow each other, and one janitor at a time.

use std::time::Duration;

use super::{TestRedis, queue_with, spec};
use crate::janitor::Janitor;
use crate::live::Live;
use crate::queue::{Claim, Queue, QueueArgs, RedisKeys, Ticket, WorkerCapacity, WorkerId};
use csm_shared::job::{JobId, JobState, Lane};

/// Jobs that need several calls of each script.
const MANY: usize = 150;

async fn enqueue(queue: &Queue, jobs: usize, expires_in: Option<Duration>) -> Vec<JobId> {
    let spec = spec(Lane::Standard, "Hi.");
    let tickets: Vec<_> = (0..jobs).map(|_| Ticket { expires_in, ..Ticket::new(JobId::generate()) }).collect();
    futures::future::try_join_all(tickets.iter().map(|ticket| queue.enqueue(ticket, &spec))).await.expect("enqueue");
    tickets.iter().map(|ticket| ticket.id).collect()
}

async fn claim(queue: &Queue) -> JobId {
    let owner = WorkerId::of_this_process("a");
    match queue.claimer(&owner, "a test").claim(WorkerCapacity::empty(5)).await.expect("claim") {
        Claim::Job(job) => job.lease.at().id,
        other => panic!("{other:?}"),
    }
}

async fn state(queue: &Queue, id: &JobId) -> JobState {
    queue.record(id).await.expect("record").expect("kept").state
}

#[tokio::test]
async fn one_round_takes_back_and_ends_all_that_is_due() {
    let redis = TestRedis::start().await;
    let client = redis.client("test");
    let queue = queue_with(&redis, "test", &QueueArgs::default(), None);
    enqueue(&queue, MANY, None).await;
    for _ in 0..MANY {
        claim(&queue).await;
    }
    let late = enqueue(&queue, MANY, Some(Duration::from_millis(1))).await;
    let leases = RedisKeys::new("test", 0).leases();
    let mut range = redis::cmd("ZRANGE");
    let running: Vec<String> = client.command(range.arg(&leases).arg(0).arg(-1)).await.expect("leases");
    let mut over = redis::cmd("ZADD");
    over.arg(&leases);
    for id in &running {
        over.arg(1).arg(id);
    }
    client.command::<()>(&over).await.expect("over");

    Janitor::new(queue.clone(), Live::new(client)).round().await;
    let stats = queue.stats().await.expect("stats");
    assert_eq!((stats.running, stats.suspects, stats.open), (0, MANY as u64, MANY as u64));
    for id in &late {
        assert_eq!(state(&queue, id).await, JobState::Expired);
    }
}

#[tokio::test]
async fn only_the_janitor_that_has_the_shard_works() {
    let redis = TestRedis::start().await;
    let queue = queue_with(&redis, "test", &QueueArgs::default(), None);
    let janitor = || Janitor::new(queue.clone(), Live::new(redis.client("test")));
    let (mut first, mut second) = (janitor(), janitor());
    first.round().await;
    let late = enqueue(&queue, 1, Some(Duration::from_millis(1))).await[0];
    tokio::time::sleep(Duration::from_millis(2)).await;
    second.round().await;
    assert_eq!(state(&queue, &late).await, JobState::Queued);
    // A janitor that starts anew takes over the note of one that it has not seen for too long.
    let note = queue.take_housekeeping(0, "another", "").await.expect("note");
    assert_eq!(queue.take_housekeeping(0, "another", &note).await.expect("taken"), "another 2");
    assert_eq!(queue.take_housekeeping(0, "late", &note).await.expect("kept"), "another 2", "the note has changed");
}
