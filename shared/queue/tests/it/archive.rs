//! Events of ended live jobs: out of Redis, and still heard from any place.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures of the test")]

use csm_queue::live::{AudioChunk, Event, EventId, Live, LiveEvent};
use csm_queue::queue::{Ticket, WorkerId};
use csm_queue::temporary_objects::TemporaryObjects;
use csm_shared::job::{JobId, Lane};
use csm_testing::receipt_of_frames;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};

use crate::fleet::{TestFleet, claim, spec};

/// Frames of 120 s of audio.
const FRAMES: u32 = 1_500;
/// Frames whose samples go out with one event.
const FRAMES_EACH: u32 = 5;
const FRAME_SAMPLES: u32 = 1_920;
/// Most bytes that an ended live job may take in Redis.
const BYTES_MAX: u64 = 500_000;

const fn at(sequence: u64) -> EventId {
    EventId { attempt: 1, sequence }
}

/// Returns the events of a live job of 120 s, whose samples do not compress.
fn told() -> Vec<LiveEvent> {
    let started = LiveEvent { id: at(1), event: Event::Started { worker: "w".into() } };
    let progress = (0..FRAMES / FRAMES_EACH).map(|n| {
        let samples = FRAMES_EACH * FRAME_SAMPLES;
        let pcm: Vec<u8> = (0..2 * samples).map(|byte| ((byte + n).wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let audio = AudioChunk::new(u64::from(n * samples), &pcm);
        let frames = (n + 1) * FRAMES_EACH;
        LiveEvent { id: at(u64::from(n) + 2), event: Event::Progress { frames, max_frames: FRAMES, audio } }
    });
    std::iter::once(started).chain(progress).collect()
}

async fn publish(fleet: &TestFleet, job: &JobId, told: &[LiveEvent]) {
    for LiveEvent { id, event } in told {
        fleet.live.publish(job, *id, event).await.unwrap();
    }
}

/// Speaks a job, which a worker claims, up to its commit. The end is not announced.
async fn speak(fleet: &TestFleet, told: &[LiveEvent]) -> JobId {
    let id = JobId::generate();
    fleet.queue.enqueue(&Ticket::new(id), &spec(Lane::Live)).await.unwrap();
    let lease = claim(&fleet.queue, &WorkerId::of_this_process("a")).await.lease;
    publish(fleet, &id, told).await;
    lease.succeed(&receipt_of_frames(FRAMES)).await.unwrap();
    id
}

async fn hear(fleet: &TestFleet, id: JobId, after: EventId) -> Vec<LiveEvent> {
    let events = fleet.subscriptions.follow(&fleet.queue, id, after).await.unwrap().expect("the job is known");
    Box::pin(events.map(Result::unwrap)).collect().await
}

/// Returns the bytes of a job's events in Redis.
async fn bytes_of(fleet: &TestFleet, id: JobId) -> u64 {
    fleet.ask(&["MEMORY", "USAGE", &format!("test:{{j:{id}}}:ev"), "SAMPLES", "0"]).await
}

#[tokio::test]
async fn the_events_of_an_ended_live_job_leave_redis_and_every_sample_comes_again() {
    let (fleet, told) = (TestFleet::start().await, told());
    let id = speak(&fleet, &told).await;
    // A follower that is in the middle when the job ends.
    let events = fleet.subscriptions.follow(&fleet.queue, id, EventId::START).await.unwrap().unwrap();
    let mut events = Box::pin(events.map(Result::unwrap));
    for event in &told[..70] {
        assert!(events.next().await.unwrap() == *event, "{:?}", event.id);
    }
    let before = bytes_of(&fleet, id).await;
    fleet.live.conclude(&fleet.queue, &id).await.unwrap();
    let after = bytes_of(&fleet, id).await;
    println!("a live job of 120 s: {before} bytes of events before its end, {after} after it");
    assert!(before > 5_000_000 && after < BYTES_MAX, "{before} and {after} bytes");

    let rest: Vec<_> = events.collect().await;
    assert!(rest.len() == told.len() - 70 + 1 && rest[..rest.len() - 1] == told[70..]);
    let done = rest.last().unwrap();
    assert!(matches!(done.event, Event::Done { .. }) && done.id == EventId::terminal(1));
    for place in [None, Some(0), Some(1), Some(31), Some(32), Some(150), Some(told.len() - 2), Some(told.len() - 1)] {
        let heard = hear(&fleet, id, place.map_or(EventId::START, |place| told[place].id)).await;
        let expected = &told[place.map_or(0, |place| place + 1)..];
        assert!(heard[..heard.len() - 1] == *expected, "after {place:?}: {} events", heard.len());
        assert_eq!(heard.last(), Some(done));
    }
    // An end that is announced again changes nothing.
    fleet.live.conclude(&fleet.queue, &id).await.unwrap();
    assert_eq!(hear(&fleet, id, EventId::START).await.len(), told.len() + 1);
}

#[tokio::test]
async fn events_of_an_ended_live_job_leave_a_full_redis_too() {
    let (fleet, told) = (TestFleet::start().await, told());
    let id = speak(&fleet, &told).await;
    fleet.limit_memory("1mb").await;
    fleet.live.conclude(&fleet.queue, &id).await.unwrap();
    assert!(bytes_of(&fleet, id).await < BYTES_MAX);
    let heard = hear(&fleet, id, told[100].id).await;
    assert!(heard[..heard.len() - 1] == told[101..], "{} events", heard.len());
}

#[tokio::test]
async fn an_archive_is_removed_after_the_events_would_have_expired() {
    let (fleet, told) = (TestFleet::start().await, told());
    let id = speak(&fleet, &told).await;
    fleet.live.conclude(&fleet.queue, &id).await.unwrap();
    let objects = TemporaryObjects::new(fleet.client.clone(), fleet.store.clone());
    let expired = Timestamp::now() + SignedDuration::from_mins(10);
    assert_eq!(objects.remove_due(expired).await.unwrap(), 0);
    assert_eq!(objects.remove_due(expired + SignedDuration::from_mins(11)).await.unwrap(), 1);
    let heard = hear(&fleet, id, EventId::START).await;
    assert_eq!(heard.iter().map(|event| event.id).collect::<Vec<_>>(), [EventId::terminal(1)]);
}

#[tokio::test]
async fn events_stay_in_redis_if_they_are_small_or_the_store_is_away() {
    let (fleet, told) = (TestFleet::start().await, told());
    let id = speak(&fleet, &told[..50]).await;
    let missing = tempfile::tempdir().unwrap();
    let gone = csm_shared::store::Store::Folder(csm_shared::store::FolderStore::open(missing.path()).unwrap());
    drop(missing);
    Live::new(fleet.client.clone()).with_store(gone).conclude(&fleet.queue, &id).await.unwrap();
    assert!(bytes_of(&fleet, id).await > BYTES_MAX);
    let heard = fleet.subscriptions.follow(&fleet.queue, id, EventId::START).await.unwrap().unwrap();
    let heard: Vec<_> = heard.take(50).map(Result::unwrap).collect().await;
    assert!(heard == told[..50]);

    let silent: Vec<_> = (1..=50)
        .map(|n| LiveEvent { id: at(n), event: Event::Progress { frames: n as u32, max_frames: FRAMES, audio: None } })
        .collect();
    let id = speak(&fleet, &silent).await;
    fleet.live.conclude(&fleet.queue, &id).await.unwrap();
    assert_eq!(fleet.ask::<u64>(&["XLEN", &format!("test:{{j:{id}}}:ev")]).await, 51);
    assert_eq!(fleet.ask::<u64>(&["ZCARD", "test:temporary"]).await, 1, "the first try's object is removed one day");
}
