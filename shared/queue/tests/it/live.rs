//! The live channel on a real Redis: order, replay, ends without an event, and a connection that
//! breaks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_queue::live::{AudioChunk, Event, EventId, LiveEvent};
use csm_queue::queue::{Ticket, WorkerId};
use csm_shared::job::{JobId, JobState, Lane};
use futures::{Stream, StreamExt as _};

use crate::fleet::{TestFleet, claim, spec};

/// Longest wait for the end of a stream.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

fn progress(frames: u32) -> Event {
    Event::Progress { frames, max_frames: 10, audio: None }
}

const fn at(attempt: u64, sequence: u64) -> EventId {
    EventId { attempt, sequence }
}

async fn follow(fleet: &TestFleet, id: JobId, after: EventId) -> impl Stream<Item = LiveEvent> + use<> {
    let stream = fleet.subscriptions.follow(&fleet.queue, id, after).await.unwrap().expect("the job is known");
    Box::pin(stream.map(Result::unwrap))
}

async fn enqueue(fleet: &TestFleet) -> JobId {
    let id = JobId::generate();
    fleet.queue.enqueue(&Ticket::new(id), &spec(Lane::Live)).await.unwrap();
    id
}

#[tokio::test]
async fn a_follower_hears_everything_in_order_and_then_the_end() {
    let fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    let heard = follow(&fleet, id, EventId::START).await;
    let tell = async {
        for frame in 1..=20 {
            fleet.live.publish(&id, at(1, frame), &progress(frame as u32)).await.unwrap();
        }
        fleet.queue.cancel(&id).await.unwrap();
        let record = fleet.queue.record(&id).await.unwrap().expect("known");
        fleet.live.publish(&id, EventId::terminal(1), &Event::of_end(&record).expect("ended")).await.unwrap();
    };
    let (events, ()) = tokio::join!(heard.collect::<Vec<_>>(), tell);
    let ids: Vec<_> = events.iter().map(|event| event.id.sequence).collect();
    assert_eq!(ids, (1..=20).chain([u64::MAX]).collect::<Vec<_>>());
    assert_eq!(events[20].event, Event::Error { state: JobState::Cancelled, failure: None });
}

#[tokio::test]
async fn what_is_spoken_is_heard_while_redis_is_full() {
    let fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    fleet.live.publish(&id, at(1, 1), &progress(1)).await.unwrap();
    fleet.limit_memory("1mb").await;
    fleet.live.publish(&id, at(1, 2), &progress(2)).await.unwrap();
    let other = JobId::generate();
    assert!(fleet.impatient_queue().enqueue(&Ticket::new(other), &spec(Lane::Live)).await.is_err(), "it is full");
    let heard: Vec<_> = follow(&fleet, id, EventId::START).await.take(2).map(|event| event.id).collect().await;
    assert_eq!(heard, [at(1, 1), at(1, 2)]);
}

#[tokio::test]
async fn a_reconnecting_follower_gets_exactly_the_rest() {
    let fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    for frame in 1..=5 {
        fleet.live.publish(&id, at(1, frame), &progress(frame as u32)).await.unwrap();
    }
    let rest: Vec<_> = follow(&fleet, id, at(1, 3)).await.take(2).map(|event| event.id).collect().await;
    assert_eq!(rest, [at(1, 4), at(1, 5)]);
}

#[tokio::test]
async fn a_stale_writer_cannot_write_behind_its_successor() {
    let fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    fleet.live.publish(&id, at(2, 1), &progress(1)).await.unwrap();
    fleet.live.publish(&id, at(1, 9), &progress(9)).await.unwrap();
    fleet.live.publish(&id, at(2, 1), &progress(7)).await.unwrap();
    fleet.live.publish(&id, at(2, 2), &progress(2)).await.unwrap();
    let heard: Vec<_> = follow(&fleet, id, EventId::START).await.take(2).collect().await;
    assert_eq!(heard, [LiveEvent { id: at(2, 1), event: progress(1) }, LiveEvent { id: at(2, 2), event: progress(2) }]);
}

#[tokio::test]
async fn an_end_that_nobody_wrote_is_told_from_the_record() {
    let fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    let lease = claim(&fleet.queue, &WorkerId::of_this_process("a")).await.lease;
    let heard = follow(&fleet, id, EventId::START).await;
    lease.cancelled().await.unwrap();
    let events: Vec<_> = heard.collect().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].id, EventId::terminal(1));
    assert!(events[0].event.is_terminal());
}

#[tokio::test]
async fn followers_survive_a_killed_redis() {
    let mut fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    let mut heard = follow(&fleet, id, EventId::START).await;
    fleet.live.publish(&id, at(1, 1), &progress(1)).await.unwrap();
    assert_eq!(heard.next().await.expect("first").id, at(1, 1));
    fleet.redis.kill().await.unwrap();
    fleet.redis.restart().await.unwrap();
    fleet.live.publish(&id, at(1, 2), &progress(2)).await.unwrap();
    assert_eq!(heard.next().await.expect("second").id, at(1, 2));
}

#[tokio::test]
async fn nobody_can_follow_a_job_that_does_not_exist() {
    let fleet = TestFleet::start().await;
    assert!(fleet.subscriptions.follow(&fleet.queue, JobId::generate(), EventId::START).await.unwrap().is_none());
}

/// Builds a progress event with `samples` samples, each of them its own number.
fn sound(offset: u64, samples: u64) -> Event {
    let pcm: Vec<u8> = (offset..offset + samples).flat_map(|sample| (sample as u16).to_le_bytes()).collect();
    Event::Progress { frames: 1, max_frames: 10, audio: AudioChunk::new(offset, &pcm) }
}

/// Returns how far the samples of these events go; `None` if one was missing or came twice.
fn heard(events: &[Event]) -> Option<u64> {
    events.iter().try_fold(0, |heard, event| match event {
        Event::Progress { audio: Some(audio), .. } => (audio.offset() == heard).then(|| audio.end()),
        _ => Some(heard),
    })
}

/// Collects all events until the end or the cut, and whether there was a cut.
async fn hear(fleet: &TestFleet, id: JobId, after: EventId) -> (Vec<Event>, bool) {
    let stream = fleet.subscriptions.follow(&fleet.queue, id, after).await.unwrap().expect("the job is known");
    let all = tokio::time::timeout(LIMIT, Box::pin(stream).collect::<Vec<_>>()).await.expect("an end or a cut");
    let cut = all.last().is_some_and(Result::is_err);
    (all.into_iter().filter_map(Result::ok).map(|event| event.event).collect(), cut)
}

#[tokio::test]
async fn live_audio_comes_whole_from_any_place_and_over_attempts() {
    let fleet = TestFleet::start().await;
    let id = enqueue(&fleet).await;
    let started = Event::Started { worker: "b".into() };
    // More events than one read brings, and more without audio than one step back.
    let mut told: Vec<_> = (0..40).map(|n| (at(1, n + 2), sound(n * 100, 100))).collect();
    told.extend((0..20).map(|n| (at(1, n + 50), progress(n as u32))));
    told.extend([(at(2, 1), started), (at(2, 2), sound(4_000, 7)), (at(2, 3), sound(4_007, 11_520))]);
    for (place, event) in &told {
        fleet.live.publish(&id, *place, event).await.unwrap();
    }
    fleet.queue.cancel(&id).await.unwrap();
    for after in [None, Some(0), Some(17), Some(39), Some(45), Some(59), Some(60), Some(62)] {
        let (events, cut) = hear(&fleet, id, after.map_or(EventId::START, |after| told[after].0)).await;
        let rest = &told[after.map_or(0, |after| after + 1)..];
        assert!(!cut && events.iter().zip(rest).all(|(event, (_, told))| event == told), "after {after:?}");
        assert_eq!(events.len(), rest.len() + 1);
    }
}

#[tokio::test]
async fn a_gap_in_live_audio_cuts_the_stream() {
    let fleet = TestFleet::start().await;
    for (next, last_heard) in [(sound(200, 10), 100), (sound(90, 10), 100), (sound(0, 100), 100)] {
        let id = enqueue(&fleet).await;
        fleet.live.publish(&id, at(1, 2), &sound(0, 100)).await.unwrap();
        fleet.live.publish(&id, at(1, 3), &progress(3)).await.unwrap();
        fleet.live.publish(&id, at(2, 4), &next).await.unwrap();
        let (events, cut) = hear(&fleet, id, EventId::START).await;
        assert_eq!((events.len(), heard(&events), cut), (2, Some(last_heard), true));
        // A follower that comes back gets the same.
        for after in [at(1, 2), at(1, 3)] {
            let (events, cut) = hear(&fleet, id, after).await;
            assert!(cut && heard(&events) == Some(0), "{events:?}");
        }
    }
    // A stream whose beginning is gone.
    let id = enqueue(&fleet).await;
    for n in 0..3 {
        fleet.live.publish(&id, at(1, n + 2), &sound(n * 100, 100)).await.unwrap();
    }
    fleet.redis_cli(&["XTRIM", &format!("test:{{j:{id}}}:ev"), "MAXLEN", "1"]).await;
    assert_eq!(hear(&fleet, id, EventId::START).await, (vec![], true));
}
