//! Many followers on a real Redis: what they cost it, and what they leave behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures of the test")]

use std::time::Duration;

use csm_queue::live::{Event, EventId, LiveEvent};
use csm_queue::queue::Ticket;
use csm_shared::job::{JobId, Lane};
use futures::{Stream, StreamExt as _, stream};

use crate::fleet::{TestFleet, spec};

/// Followers, each of a job of its own.
const FOLLOWERS: usize = 3_000;
/// Time for which commands are counted; each reader looks once in it, on average.
const WINDOW: Duration = Duration::from_secs(16);
/// Longest wait for a condition.
const LIMIT: Duration = Duration::from_secs(60);
/// Calls that run at the same time while a test prepares.
const AT_ONCE: usize = 64;

type Follower = std::pin::Pin<Box<dyn Stream<Item = LiveEvent> + Send>>;

async fn follow(fleet: &TestFleet, job: JobId, after: EventId) -> Follower {
    let events = fleet.subscriptions.follow(&fleet.queue, job, after).await.unwrap().expect("the job is known");
    Box::pin(events.map(Result::unwrap))
}

async fn enqueue(fleet: &TestFleet, jobs: usize) -> Vec<JobId> {
    let add = |_| async {
        let id = JobId::generate();
        fleet.queue.enqueue(&Ticket::new(id), &spec(Lane::Bulk)).await.unwrap();
        id
    };
    stream::iter(0..jobs).map(add).buffer_unordered(AT_ONCE).collect().await
}

/// Waits until Redis has this many channels with a subscription.
async fn until_channels(fleet: &TestFleet, expected: usize) {
    let wait = async {
        while fleet.ask::<Vec<String>>(&["PUBSUB", "CHANNELS", "test:*"]).await.len() != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{expected} channels"));
}

async fn commands(fleet: &TestFleet) -> u64 {
    fleet.info("stats", "total_commands_processed").await.unwrap().parse().unwrap()
}

/// Returns how often a command was called.
async fn calls(fleet: &TestFleet, command: &str) -> u64 {
    let Some(stats) = fleet.info("commandstats", &format!("cmdstat_{command}")).await else { return 0 };
    let calls = stats.split(',').find_map(|figure| figure.strip_prefix("calls="));
    calls.unwrap().parse().unwrap()
}

fn progress(frames: u64) -> Event {
    Event::Progress { frames: frames as u32, max_frames: 100, audio: None }
}

const fn at(sequence: u64) -> EventId {
    EventId { attempt: 1, sequence }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_queued_jobs_cost_little_and_leave_no_subscription() {
    let fleet = TestFleet::start().await;
    let jobs = enqueue(&fleet, FOLLOWERS).await;
    let all = stream::iter(&jobs).map(|job| follow(&fleet, *job, EventId::START));
    let mut followers: Vec<_> = all.buffer_unordered(FOLLOWERS).collect().await;
    until_channels(&fleet, FOLLOWERS).await;

    let before = commands(&fleet).await;
    tokio::time::sleep(WINDOW).await;
    let rate = (commands(&fleet).await - before) / WINDOW.as_secs();
    println!("{FOLLOWERS} followers of queued jobs: {rate} commands a second");
    assert!(rate < 500, "{rate} commands a second");

    // Each still hears at once, by message.
    for job in &jobs {
        fleet.live.publish(job, at(1), &progress(1)).await.unwrap();
    }
    let heard = stream::iter(&mut followers).map(|follower| follower.next()).buffer_unordered(FOLLOWERS).count();
    assert_eq!(tokio::time::timeout(LIMIT, heard).await.unwrap(), FOLLOWERS);

    // Those that come and go at once leave the others' channels and no more.
    followers.truncate(FOLLOWERS / 2);
    let again: Vec<_> =
        stream::iter(&jobs).map(|job| follow(&fleet, *job, at(1))).buffer_unordered(FOLLOWERS).collect().await;
    drop(again);
    until_channels(&fleet, FOLLOWERS / 2).await;
    drop(followers);
    until_channels(&fleet, 0).await;
}

#[tokio::test]
async fn followers_of_one_job_share_its_reader() {
    const EVENTS: u64 = 20;
    let fleet = TestFleet::start().await;
    let job = enqueue(&fleet, 1).await[0];
    let mut followers = Vec::new();
    for _ in 0..100 {
        followers.push(follow(&fleet, job, EventId::START).await);
    }
    until_channels(&fleet, 1).await;
    let before = calls(&fleet, "xrange").await;
    for sequence in 1..=EVENTS {
        fleet.live.publish(&job, at(sequence), &progress(sequence)).await.unwrap();
        for follower in &mut followers {
            assert_eq!(follower.next().await.unwrap().id, at(sequence));
        }
    }
    let reads = calls(&fleet, "xrange").await - before;
    // One for each message, and a few that the subscription and the clock cause.
    assert!(reads <= 2 * EVENTS, "{reads} reads of {EVENTS} events");
}

#[tokio::test]
async fn a_follower_that_falls_behind_catches_up_by_itself() {
    let fleet = TestFleet::start().await;
    let job = enqueue(&fleet, 1).await[0];
    let (mut quick, slow) = (follow(&fleet, job, EventId::START).await, follow(&fleet, job, EventId::START).await);
    for sequence in 1..=100 {
        fleet.live.publish(&job, at(sequence), &progress(sequence)).await.unwrap();
        assert_eq!(quick.next().await.unwrap().id, at(sequence));
    }
    // One that comes late, and one that claims to have heard what is still to come.
    let (late, early) = (follow(&fleet, job, at(50)).await, follow(&fleet, job, at(101)).await);
    fleet.queue.cancel(&job).await.unwrap();
    fleet.live.publish(&job, at(101), &progress(101)).await.unwrap();
    fleet.live.conclude(&fleet.queue, &job).await.unwrap();
    for (follower, first) in [(quick, 101), (slow, 1), (late, 51), (early, 102)] {
        let ids: Vec<_> = follower.map(|event| event.id).collect().await;
        let expected: Vec<_> = (first..=101).map(at).chain([EventId::terminal(0)]).collect();
        assert_eq!(ids[..ids.len() - 1], expected[..expected.len() - 1], "from {first}");
    }
}
