//! Drain: idle connections are closed, and waiting callers get their audio within the grace.

use std::time::Duration;

use csm_shared::audio::{Clip, FRAME_SAMPLES};
use csm_shared::job::JobState;
use futures::SinkExt as _;
use reqwest::Method;
use tokio_tungstenite::tungstenite::Message;

use crate::app::{TestApp, until};
use crate::openai::{publish, tone};
use crate::sockets::next;
use crate::speech::{OLD_REQUEST, say};
use crate::worker::{TestWorker, wav};
use crate::ws::{close_code, open};

#[tokio::test]
async fn idle_sockets_event_streams_and_polls_end_at_once() {
    let mut app = TestApp::start().await;
    let mut socket = open(&app).await;
    let (streamed, polled) = (app.submit(&say("later")).await, app.submit(&say("later")).await);
    let events = app.request(Method::GET, &format!("/v1/jobs/{streamed}/events")).send().await.unwrap();
    let poll = app.request(Method::GET, &format!("/v1/jobs/{polled}?wait=60")).send();
    let poll = tokio::spawn(poll);
    app.until_followed(&polled).await;
    app.stop.cancel();

    assert_eq!(close_code(next(&mut socket).await), 1012);
    let told = events.text().await.unwrap();
    assert!(told.contains("retry") && !told.contains("data"), "a hint, and no event that looks like an end: {told}");
    let record: serde_json::Value = poll.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(record["status"], "queued");
    app.join().await;
    for job in [streamed, polled] {
        assert_eq!(app.record(&job).await.state, JobState::Queued, "a job without a waiting caller stays");
    }
    assert!(app.request(Method::GET, "/").send().await.is_err(), "nobody listens");
}

#[tokio::test]
async fn requests_in_progress_finish() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = open(&app).await;
    socket.send(say("over the socket").into()).await.unwrap();
    let (answer, ()) = tokio::join!(app.post("/generate", OLD_REQUEST), async {
        until("both are queued", async || app.depth().await == 2).await;
        app.stop.cancel();
        until("the probes are told", async || app.get_admin("/readyz").await.1.contains("draining")).await;
        worker.work(&app, 2).await;
    });
    assert_eq!(answer.status, 200);
    assert_eq!(next(&mut socket).await, Message::Binary(wav("over the socket").into()));
    assert_eq!(close_code(next(&mut socket).await), 1012);
    let mut app = app;
    app.join().await;
}

#[tokio::test]
async fn who_is_not_done_in_time_is_told_and_the_job_called_off() {
    let (mut app, worker) = (TestApp::start_with(|args| args.drain = Duration::from_secs(1)).await, TestWorker::new());
    let request = app.request(Method::POST, "/generate").body(OLD_REQUEST).send();
    let request = tokio::spawn(request);
    let job = worker.claim(&app).await;
    app.join().await;
    let answer = request.await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "draining");
    assert!(app.record(&job.lease.at().id).await.cancel_requested);
}

#[tokio::test]
async fn a_speech_in_progress_is_finished_within_the_grace_or_aborted() {
    for grace in [10, 1] {
        let app = TestApp::start_with(|args| args.drain = Duration::from_secs(grace)).await;
        let body = serde_json::json!({"input": "Hello.", "response_format": "pcm"});
        let request = app.request(Method::POST, "/v1/audio/speech").json(&body);
        let (answer, job) = tokio::join!(request.send(), async {
            let job = TestWorker::new().claim(&app).await;
            publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
            job
        });
        let mut answer = answer.unwrap();
        assert!(answer.chunk().await.unwrap().is_some());
        app.stop.cancel();
        if grace == 10 {
            let (at, all) = (job.lease.at().id, tone(2 * FRAME_SAMPLES));
            publish(&app, &job, 3, FRAME_SAMPLES, &all[FRAME_SAMPLES..]).await;
            TestWorker::new().succeed_with(&app, job, Clip::from_samples(all).to_wav()).await;
            assert_eq!(answer.bytes().await.unwrap().len(), 2 * FRAME_SAMPLES, "the rest of job {at}");
        } else {
            assert!(answer.bytes().await.is_err(), "a cut is no end");
        }
        let mut app = app;
        app.join().await;
    }
}
