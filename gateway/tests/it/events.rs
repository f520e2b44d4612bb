//! Server-sent events: from the first to the last, and the rest from any event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_queue::live::{AudioChunk, Event as ProgressEvent, EventId};
use csm_shared::job::JobId;
use eventsource_stream::{Event, Eventsource as _};
use futures::StreamExt as _;
use reqwest::Method;

use crate::app::{PATIENCE, TestApp};
use crate::speech::say;
use crate::worker::{TestWorker, wav};

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
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let job = app.submit(&say("story")).await;
    let (events, receipt) = tokio::join!(read(&app, &job, None), async {
        app.until_followed(&job).await;
        let claimed = worker.claim(&app).await;
        worker.progress(&app, &claimed.lease, 2).await;
        worker.succeed(&app, claimed).await
    });
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["started", "progress", "progress", "done"]);
    let data: Vec<serde_json::Value> = events.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
    assert_eq!(data[1], serde_json::json!({"event": "progress", "frames": 1, "max_frames": 125}));
    assert_eq!(data[3]["receipt"]["sha256"], receipt.sha256);

    for (place, event) in events[..3].iter().enumerate() {
        assert_eq!(read(&app, &job, Some(&event.id)).await, &events[place + 1..], "after {}", event.id);
    }
    assert_eq!(read(&app, &job, None).await, events, "the whole story again");
}

/// Opens the stream behind an event and returns the status.
async fn status_after(app: &TestApp, job: &JobId, after: &str) -> u16 {
    let request = app.request(Method::GET, &format!("/v1/jobs/{job}/events")).header("last-event-id", after);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_caller_that_has_the_end_is_told_to_stay_away() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (job, open) = (app.submit(&say("story")).await, app.submit(&say("another")).await);
    let claimed = worker.claim(&app).await;
    worker.progress(&app, &claimed.lease, 1).await;
    worker.succeed(&app, claimed).await;
    let last = read(&app, &job, None).await.pop().unwrap().id;
    assert_eq!(last, EventId::terminal(1).to_string());
    for (after, status) in [(last.as_str(), 204), ("2-1", 204), ("1-2", 200)] {
        assert_eq!(status_after(&app, &job, after).await, status, "after {after}");
    }
    assert_eq!(status_after(&app, &open, "7-1").await, 200, "a job that has not ended has no last event");
    // An end without a result has a last event, too, and not under the name of the browser's own.
    assert_eq!(app.delete(&format!("/v1/jobs/{open}")).await.status, 200);
    let end = read(&app, &open, None).await.pop().unwrap();
    let data: serde_json::Value = serde_json::from_str(&end.data).unwrap();
    assert_eq!(
        (end.event.as_str(), &data["event"], &data["state"]),
        ("no_result", &"no_result".into(), &"cancelled".into())
    );
    assert_eq!(status_after(&app, &open, &end.id).await, 204);
}

#[tokio::test]
async fn samples_come_with_the_events_once_each_from_any_place() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let job = app.submit(r#"{"text": "story", "delivery": "both"}"#).await;
    let job_of = worker.claim(&app).await;
    assert!(job_of.spec.delivery.is_live());
    // The events hold the samples of the file; one event has none.
    let pcm = wav("story")[44..].to_vec();
    let mut sent = 0;
    for (sequence, bytes) in (2..).zip([1_000, 0, 4_000, pcm.len() - 5_000]) {
        let audio = AudioChunk::new(sent as u64 / 2, &pcm[sent..sent + bytes]);
        let event = ProgressEvent::Progress { frames: 1, max_frames: 125, audio };
        app.live.publish(&job, EventId { attempt: 1, sequence }, &event).await.unwrap();
        sent += bytes;
    }
    worker.succeed(&app, job_of).await;
    let events = read(&app, &job, None).await;
    let samples_of = |events: &[Event]| {
        let mut samples = Vec::new();
        for event in events {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            if let Some(audio) = data["audio"]["pcm"].as_str() {
                samples.extend(BASE64.decode(audio).unwrap());
            }
        }
        samples
    };
    assert!(samples_of(&events) == pcm);
    assert_eq!(events.len(), 5);
    for (place, event) in events[..4].iter().enumerate() {
        let rest = read(&app, &job, Some(&event.id)).await;
        assert_eq!([&events[..=place], &rest].concat(), events, "after {}", event.id);
    }
}

#[tokio::test]
async fn a_stream_with_samples_missing_is_cut_and_has_no_end() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for pieces in [[(0, 500), (501, 2_000)], [(0, 500), (500, 2_000)]] {
        let job = app.submit(r#"{"text": "story", "delivery": "both"}"#).await;
        let claimed = worker.claim(&app).await;
        for (sequence, (offset, samples)) in (2..).zip(pieces) {
            let audio = AudioChunk::new(offset, &vec![3; samples * 2]);
            let event = ProgressEvent::Progress { frames: 1, max_frames: 125, audio };
            app.live.publish(&job, EventId { attempt: 1, sequence }, &event).await.unwrap();
        }
        worker.succeed(&app, claimed).await;
        let names: Vec<_> = read(&app, &job, None).await.into_iter().map(|event| event.event).collect();
        // Samples are missing in the middle, then at the end.
        assert_eq!(names.len(), if pieces[1].0 == 501 { 1 } else { 2 }, "{names:?}");
        assert!(names.iter().all(|name| name == "progress"));
    }
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
