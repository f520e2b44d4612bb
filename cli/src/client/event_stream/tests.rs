#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_queue::live::AudioChunk;
use csm_shared::job::JobState;
use futures::TryStreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn progress(frames: u32) -> Event {
    Event::Progress { frames, max_frames: 10, audio: None }
}

fn cancelled() -> Event {
    Event::Error { state: JobState::Cancelled, failure: None }
}

fn message(id: &str, event: &Event) -> String {
    format!("id: {id}\nevent: {}\ndata: {}\n\n", event.name(), serde_json::to_string(event).unwrap())
}

/// Starts a gateway that gives one scripted answer per connection, then closes the connection.
/// Returns the requests received.
async fn gateway(answers: Vec<(u16, String)>) -> (GatewayClient, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            requests.push(String::from_utf8_lossy(&request[..read]).to_lowercase());
            let head = format!("HTTP/1.1 {status} x\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
            socket.write_all((head + &body).as_bytes()).await.unwrap();
        }
        requests
    });
    (GatewayClient::new(&url).unwrap(), served)
}

#[tokio::test]
async fn a_cut_stream_is_taken_up_where_it_was_and_nothing_comes_twice() {
    let started = Event::Started { worker: "w".into() };
    let first = message("1-1", &started) + &message("1-2", &progress(1)) + "id: 1-3\nevent: progress\ndata: {\"cut";
    // The second attempt begins below the sequence of the first, but later in order.
    let second = message("1-2", &progress(1)) + ": still here\n\n" + &message("2-1", &started);
    let third =
        message("2-2", &progress(4)) + &message("2-18446744073709551615", &cancelled()) + &message("9-9", &started);
    let (client, served) = gateway(vec![(200, first), (503, String::new()), (200, second), (200, third)]).await;

    let events: Vec<Event> = client.events("some/id").try_collect().await.unwrap();

    assert_eq!(events, [started.clone(), progress(1), started, progress(4), cancelled()]);
    let requests = served.await.unwrap();
    assert!(requests[0].starts_with("get /v1/jobs/some%2fid/events "), "{}", requests[0]);
    assert!(!requests[0].contains("last-event-id"));
    assert!(requests[1].contains("last-event-id: 1-2\r\n"), "{}", requests[1]);
    assert!(requests[2].contains("last-event-id: 1-2\r\n"), "{}", requests[2]);
    assert!(requests[3].contains("last-event-id: 2-1\r\n"), "{}", requests[3]);
}

#[tokio::test]
async fn a_job_that_is_not_there_is_not_asked_for_again() {
    let (client, served) = gateway(vec![(404, r#"{"title":"No such job"}"#.to_owned())]).await;
    let error = client.events("x").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.to_string(), "No such job (HTTP 404)");
    assert_eq!(served.await.unwrap().len(), 1);
}

#[tokio::test]
async fn live_audio_is_heard_whole_over_a_cut_or_not_at_all() {
    let sound = |offset, samples: usize| Event::Progress {
        frames: 1,
        max_frames: 10,
        audio: AudioChunk::new(offset, &vec![7; samples * 2]),
    };
    let hear = async |second: Event| {
        let first = message("1-2", &sound(0, 10)) + &message("1-3", &progress(2));
        let second = message("2-2", &second) + &message("2-18446744073709551615", &cancelled());
        gateway(vec![(200, first), (200, second)]).await.0.events("x").try_collect::<Vec<_>>().await
    };
    assert_eq!(hear(sound(10, 5)).await.unwrap(), [sound(0, 10), progress(2), sound(10, 5), cancelled()]);
    for (next, place) in [(sound(11, 5), 11), (sound(0, 10), 0)] {
        let told = format!("unexpected answer: live audio was heard to sample 10 and goes on at {place}");
        assert_eq!(hear(next).await.unwrap_err().to_string(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stays_away_is_given_up() {
    let client = GatewayClient::new("http://127.0.0.1:1").unwrap();
    let mut follower = EventStreamFollower {
        client,
        id: "x".into(),
        cursor: EventCursor::default(),
        connection: None,
        opened: Instant::now(),
        fruitless: 0,
    };
    for _ in 0..FRUITLESS_MAX {
        follower.opened = Instant::now();
        follower.cut("away").await.unwrap();
    }
    // A connection that lasted is no failure, even if no event came.
    follower.opened = Instant::now();
    tokio::time::advance(CONNECTION_HELD_MIN).await;
    follower.cut("closed").await.unwrap();
    follower.fruitless = FRUITLESS_MAX;
    follower.opened = Instant::now();
    assert!(matches!(follower.cut("away").await, Err(ClientError::Lost { .. })));
}

#[test]
fn unknown_events_are_passed_over_and_broken_ones_are_told() {
    let message = |event: &str, id: &str, data: &str| eventsource_stream::Event {
        event: event.into(),
        data: data.into(),
        id: id.into(),
        retry: None,
    };
    assert_eq!(read(&message("audio", "1-1", "{}")).unwrap(), None);
    assert!(read(&message("progress", "1-1", "{}")).is_err());
    assert!(read(&message("progress", "", r#"{"event":"progress","frames":1,"max_frames":2}"#)).is_err());
}

#[test]
fn pauses_grow_to_their_limit() {
    assert_eq!(pause(1), PAUSE_FIRST);
    assert_eq!(pause(2), PAUSE_FIRST * 2);
    assert_eq!(pause(FRUITLESS_MAX), PAUSE_MAX);
}
