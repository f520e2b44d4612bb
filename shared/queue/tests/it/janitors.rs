//! Janitors: one process at a time does the work of a shard, and the others cost little.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the measuring tests print what they measured")]

use std::time::Duration;

use csm_queue::janitor::Janitor;
use csm_queue::live::Live;
use csm_queue::queue::{Queue, QueueArgs, RedisKeys, Ticket, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{JobId, JobState, Lane};
use futures::future::try_join_all;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fleet::{TestFleet, claim, spec};

/// Longest wait for what a janitor does.
const PATIENCE: Duration = Duration::from_secs(30);
/// Share of a core that the janitors of a large fleet may take of Redis.
const SHARE_MAX: f64 = 0.05;
/// Processes of a large fleet.
const PROCESSES: usize = 300;

/// Starts the janitor of a process of its own, with its own connections.
fn start_janitor(fleet: &TestFleet, stop: &CancellationToken) -> JoinHandle<()> {
    let args = RedisArgs::new(fleet.redis.url(), "test");
    let client = RedisClient::new(&args, PATIENCE).unwrap();
    let queue = Queue::new(client.clone(), &QueueArgs::default());
    tokio::spawn(Janitor::new(queue, Live::new(client)).run(stop.clone()))
}

/// Enqueues a job whose time in the queue is over, and waits until a janitor has ended it.
async fn until_expired(fleet: &TestFleet) {
    let ticket = Ticket { expires_in: Some(Duration::from_millis(1)), ..Ticket::new(JobId::generate()) };
    fleet.queue.enqueue(&ticket, &spec(Lane::Bulk)).await.unwrap();
    let expired = async {
        while fleet.queue.record(&ticket.id).await.unwrap().unwrap().state != JobState::Expired {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, expired).await.expect("a janitor works");
}

/// Reads a number of INFO.
async fn info(fleet: &TestFleet, section: &str, names: &[&str]) -> f64 {
    let mut info = redis::cmd("INFO");
    let text: String = fleet.client.command(info.arg(section)).await.unwrap();
    let number = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*name)?.strip_prefix(':'));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    names.iter().map(number).sum()
}

/// Returns the seconds of a core that Redis has used.
async fn cpu_seconds(fleet: &TestFleet) -> f64 {
    info(fleet, "cpu", &["used_cpu_user", "used_cpu_sys"]).await
}

#[tokio::test]
async fn a_dead_janitors_shard_is_taken_over() {
    let fleet = TestFleet::start().await;
    let (stop, other) = (CancellationToken::new(), CancellationToken::new());
    let first = start_janitor(&fleet, &stop);
    until_expired(&fleet).await;
    let second = start_janitor(&fleet, &other);
    until_expired(&fleet).await;
    first.abort();
    until_expired(&fleet).await;
    other.cancel();
    second.await.unwrap();
}

#[tokio::test]
async fn the_janitors_of_a_large_fleet_leave_redis_to_the_jobs() {
    let fleet = TestFleet::start().await;
    fleet.redis_cli(&["CONFIG", "SET", "appendonly", "no"]).await;
    // Each process has a worker, which is a consumer of every stream, and jobs wait and run.
    for lane in Lane::ALL {
        let specs = spec(lane);
        let tickets: Vec<_> = (0..200).map(|_| Ticket::new(JobId::generate())).collect();
        try_join_all(tickets.iter().map(|ticket| fleet.queue.enqueue(ticket, &specs))).await.unwrap();
    }
    let owner = WorkerId::of_this_process("a");
    for _ in 0..100 {
        claim(&fleet.queue, &owner).await;
    }
    let mut workers = redis::pipe();
    for worker in 0..PROCESSES {
        for lane in Lane::ALL {
            let stream = RedisKeys::new("test", 0).lane(lane);
            let create = workers.cmd("XGROUP").arg("CREATECONSUMER").arg(stream).arg("workers");
            create.arg(format!("worker-{worker}")).ignore();
        }
    }
    fleet.client.pipeline::<()>(&workers).await.unwrap();

    let stop = CancellationToken::new();
    let janitors: Vec<_> = (0..PROCESSES).map(|_| start_janitor(&fleet, &stop)).collect();
    until_expired(&fleet).await;
    // The first look of each process, and its connection, are of the start.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (begun, before) = (Instant::now(), cpu_seconds(&fleet).await);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let share = (cpu_seconds(&fleet).await - before) / begun.elapsed().as_secs_f64();
    eprintln!("{PROCESSES} janitors take {:.1} % of a core of Redis", share * 100.0);
    assert!(share < SHARE_MAX, "{:.1} % of a core", share * 100.0);
    stop.cancel();
    for janitor in janitors {
        janitor.await.unwrap();
    }
}

/// Returns the seconds of a core that Redis uses for a thousand questions after a job's place.
async fn cost_of_places(fleet: &TestFleet, id: &JobId) -> f64 {
    let before = cpu_seconds(fleet).await;
    for _ in 0..10 {
        try_join_all((0..100).map(|_| fleet.queue.ahead(id))).await.unwrap();
    }
    cpu_seconds(fleet).await - before
}

#[tokio::test]
async fn a_place_in_line_costs_no_more_beside_a_long_backlog() {
    let fleet = TestFleet::start().await;
    fleet.redis_cli(&["CONFIG", "SET", "appendonly", "no"]).await;
    let specs = spec(Lane::Standard);
    let enqueue = async |jobs: usize| {
        let tickets: Vec<_> = (0..jobs).map(|_| Ticket::new(JobId::generate())).collect();
        for some in tickets.chunks(100) {
            try_join_all(some.iter().map(|ticket| fleet.queue.enqueue(ticket, &specs))).await.unwrap();
        }
        tickets[jobs - 1].id
    };
    let first = enqueue(1).await;
    assert_eq!(fleet.queue.ahead(&first).await.unwrap(), Some(0));
    let alone = cost_of_places(&fleet, &first).await;
    enqueue(5_000).await;
    let last = enqueue(1).await;
    assert_eq!(fleet.queue.ahead(&last).await.unwrap(), Some(5_001), "however many there are");
    let behind = cost_of_places(&fleet, &last).await;
    eprintln!("a thousand places: {alone:.3} s alone, {behind:.3} s behind 5,001 jobs");
    assert!(behind < 3.0 * alone, "{alone:.3} s alone, {behind:.3} s behind 5,001 jobs");
}
