//! Server-sent events: the whole story, and the rest of it from any place.

use std::time::Duration;

use csm_shared::job::JobId;
use eventsource_stream::{Event, Eventsource as _};
use futures::StreamExt as _;
use reqwest::Method;

use crate::app::{PATIENCE, TestApp};
use crate::speech::say;
use crate::worker::Worker;

/// Reads events until the stream ends.
async fn read(app: &TestApp, job: &JobId, after: Option<&str>) -> Vec<Event> {
    let mut request = app.request(Method::GET, &format!("/v1/jobs/{job}/events"));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let events = response.bytes_stream().eventsource().map(Result::unwrap).collect();
    tokio::time::timeout(PATIENCE, events).await.unwrap()
}

#[tokio::test]
async fn events_come_as_they_happen_and_can_be_replayed() {
    let (app, worker) = (TestApp::start().await, Worker::new());
    let job = app.submit(&say("story")).await;
    let (events, receipt) = tokio::join!(read(&app, &job, None), async {
        let lease = worker.claim(&app).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        worker.progress(&app, &lease, 2).await;
        worker.succeed(&app, lease).await
    });
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["started", "progress", "progress", "done"]);
    let data: Vec<serde_json::Value> = events.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
    assert_eq!(data[1], serde_json::json!({"event": "progress", "frames": 1, "max_frames": 125}));
    assert_eq!(data[3]["receipt"]["sha256"], receipt.sha256);

    for (place, event) in events.iter().enumerate() {
        let rest = read(&app, &job, Some(&event.id)).await;
        // After the last event the end is told again: a caller never waits for nothing.
        let expected = if place == events.len() - 1 { &events[place..] } else { &events[place + 1..] };
        assert_eq!(rest, expected, "after {}", event.id);
    }
    assert_eq!(read(&app, &job, None).await, events, "the whole story again");
}

#[tokio::test]
async fn a_last_event_id_that_is_none_is_refused() {
    let app = TestApp::start().await;
    let job = app.submit(&say("story")).await;
    let request = app.request(Method::GET, &format!("/v1/jobs/{job}/events")).header("last-event-id", "yesterday");
    let answer = app.send(request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("field"), answer.text("value")),
        (422, "Last-Event-ID", "yesterday")
    );
}
