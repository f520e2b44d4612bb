//! The live channel on a real Redis: order, replay, ends that nobody wrote, and a connection that breaks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_shared::job::{JobId, JobState, Lane};
use csm_shared::live::{Event, EventId, LiveEvent};
use csm_shared::queue::Owner;
use futures::{Stream, StreamExt as _};

use crate::fleet::{Fleet, spec};

fn progress(frames: u32) -> Event {
    Event::Progress { frames, max_frames: 10 }
}

const fn at(attempt: u64, sequence: u64) -> EventId {
    EventId { attempt, sequence }
}

async fn follow(fleet: &Fleet, id: JobId, after: EventId) -> impl Stream<Item = LiveEvent> + use<> {
    let stream = fleet.hub.follow(&fleet.queue, id, after).await.unwrap().expect("the job is known");
    Box::pin(stream.map(Result::unwrap))
}

async fn enqueue(fleet: &Fleet) -> JobId {
    let id = JobId::generate();
    fleet.queue.enqueue(&id, &spec(Lane::Live)).await.unwrap();
    id
}

#[tokio::test]
async fn a_follower_hears_everything_in_order_and_then_the_end() {
    let fleet = Fleet::start().await;
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
async fn a_reconnecting_follower_gets_exactly_the_rest() {
    let fleet = Fleet::start().await;
    let id = enqueue(&fleet).await;
    for frame in 1..=5 {
        fleet.live.publish(&id, at(1, frame), &progress(frame as u32)).await.unwrap();
    }
    let rest: Vec<_> = follow(&fleet, id, at(1, 3)).await.take(2).map(|event| event.id).collect().await;
    assert_eq!(rest, [at(1, 4), at(1, 5)]);
}

#[tokio::test]
async fn a_stale_writer_cannot_write_behind_its_successor() {
    let fleet = Fleet::start().await;
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
    let fleet = Fleet::start().await;
    let id = enqueue(&fleet).await;
    let lease = fleet.queue.claim(&Owner::of_this_process("a")).await.unwrap().expect("a job waits");
    let heard = follow(&fleet, id, EventId::START).await;
    lease.cancelled().await.unwrap();
    let events: Vec<_> = heard.collect().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].id, EventId::terminal(1));
    assert!(events[0].event.is_terminal());
}

#[tokio::test]
async fn followers_survive_a_killed_redis() {
    let mut fleet = Fleet::start().await;
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
    let fleet = Fleet::start().await;
    assert!(fleet.hub.follow(&fleet.queue, JobId::generate(), EventId::START).await.unwrap().is_none());
}
