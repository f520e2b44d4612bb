//! Jobs: submit, read, wait.

use std::time::{Duration, Instant};

use csm_shared::job::{Failure, FailureClass, JobState, Lane};

use crate::app::{TestApp, until};
use crate::speech::say;
use crate::worker::TestWorker;

#[tokio::test]
async fn a_job_is_accepted_with_its_place_and_links() {
    let app = TestApp::start().await;
    let first = app.post("/v1/jobs", r#"{"text": "one", "seed": 7}"#).await;
    let second = app.post("/v1/jobs", r#"{"text": "two", "seed": 8, "lane": "standard"}"#).await;
    assert_eq!(first.status, 202);
    assert_eq!(first.header("location"), format!("/v1/jobs/{}", first.text("id")));
    insta::assert_json_snapshot!("accepted", second.body, {
        ".id" => "[id]", ".links.self" => "/v1/jobs/[id]", ".links.events" => "/v1/jobs/[id]/events",
    });
    assert_eq!(app.lane_depth(Lane::Standard).await, 2);
    let (_, metrics) = app.get_admin("/metrics").await;
    assert!(metrics.contains("csm_jobs_accepted_total{lane=\"standard\"}"), "{metrics}");
}

#[tokio::test]
async fn a_waiting_job_is_told_how_many_are_ahead() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for text in ["runs", "next", "last"] {
        app.submit(&say(text)).await;
    }
    let running = worker.claim(&app).await;
    let last = app.submit(&say("newest")).await;
    let answer = app.get(&format!("/v1/jobs/{last}")).await;
    assert_eq!((answer.text("status"), &answer.body["queue"]["ahead"]), ("queued", &2.into()));
    let answer = app.get(&format!("/v1/jobs/{}", running.lease.at().id)).await;
    assert_eq!(answer.text("status"), "running");
    assert!(answer.body["queue"].is_null() && answer.body["started_at"].is_string());
}

#[tokio::test]
async fn a_long_poll_answers_when_the_job_ends() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(r#"{"text": "wait for me", "seed": 3}"#).await;
    let path = format!("/v1/jobs/{id}?wait=60");
    let started = Instant::now();
    let (answer, ()) = tokio::join!(app.get(&path), async {
        app.until_followed(&id).await;
        worker.work(&app, 1).await;
    });
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    insta::assert_json_snapshot!("succeeded", answer.body, {
        ".id" => "[id]", ".links.self" => "/v1/jobs/[id]", ".links.events" => "/v1/jobs/[id]/events",
        ".links.audio" => "/v1/jobs/[id]/audio", ".created_at" => "[time]", ".started_at" => "[time]",
        ".finished_at" => "[time]", ".receipt.worker" => "[worker]", ".receipt.location" => "[key]",
        ".receipt.queue_ms" => "[ms]",
    });
    assert!(answer.text("created_at").ends_with('Z'), "RFC 3339");
}

#[tokio::test]
async fn a_long_poll_ends_with_its_time_and_tells_the_progress() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("slow")).await;
    let waiting = app.get(&format!("/v1/jobs/{id}?wait=1")).await;
    assert_eq!(waiting.text("status"), "queued");
    let job = worker.claim(&app).await;
    worker.progress(&app, &job.lease, 3).await;
    let running = app.get(&format!("/v1/jobs/{id}?wait=1")).await;
    assert_eq!(running.body["progress"], serde_json::json!({"frames": 3, "max_frames": 125}));
}

#[tokio::test]
async fn a_failed_job_says_why() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("bad luck")).await;
    let job = worker.claim(&app).await;
    worker.fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device ran out of memory")).await;
    let answer = app.get(&format!("/v1/jobs/{id}?wait=5")).await;
    assert_eq!(answer.text("status"), "failed");
    assert_eq!(
        answer.body["failure"],
        serde_json::json!({"class": "resource", "message": "the device ran out of memory"})
    );
    assert_eq!(app.record(&id).await.state, JobState::Failed);
}

/// The damage stays, so the answer is not that of a passing fault.
#[tokio::test]
async fn an_unreadable_record_is_gone_and_no_fault_of_the_server() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for (field, text) in [("receipt", "{\"seed\": 1}"), ("state", "perhaps"), ("created_ms", "soon")] {
        let id = app.submit(&say(field)).await;
        worker.work(&app, 1).await;
        let mut damage = redis::cmd("HSET");
        damage.arg(format!("csm:{{q0}}:job:{id}")).arg(field).arg(text);
        let _: u64 = app.queue.redis().command(&damage).await.unwrap();
        for path in [format!("/v1/jobs/{id}"), format!("/v1/jobs/{id}/audio")] {
            let answer = app.get(&path).await;
            assert_eq!((answer.status.as_u16(), answer.text("code")), (410, "record_unreadable"), "{field}: {path}");
            assert_eq!(answer.text("job"), id.to_string());
            assert!(!answer.body.to_string().contains(text), "no inner text is shown");
        }
    }
}

#[tokio::test]
async fn unknown_jobs_routes_and_methods_are_problems() {
    let app = TestApp::start().await;
    let unknown = "/v1/jobs/0199b1c2-0000-7000-8000-000000000000";
    for (path, code) in [(unknown, "job_not_found"), ("/v1/jobs/nonsense", "job_not_found"), ("/nowhere", "not_found")]
    {
        let answer = app.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (404, code), "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for path in ["audio", "events", "?wait=1"] {
        let path = if path.starts_with('?') { format!("{unknown}{path}") } else { format!("{unknown}/{path}") };
        assert_eq!(app.get(&path).await.text("code"), "job_not_found", "{path}");
    }
    let wrong = app.get("/v1/jobs").await;
    assert_eq!((wrong.status.as_u16(), wrong.text("code"), wrong.header("allow")), (405, "method_not_allowed", "POST"));
    let garbled = app.get("/v1/jobs/%ff").await;
    assert_eq!((garbled.status.as_u16(), garbled.text("code")), (400, "unreadable_request"));
    let plain = app.get("/ws").await;
    assert_eq!((plain.status.is_client_error(), plain.text("code")), (true, "websocket_required"));
}

#[tokio::test]
async fn request_ids_go_in_and_out() {
    let app = TestApp::start().await;
    let request = app.request(reqwest::Method::GET, "/nowhere").header("x-request-id", "trace-7");
    let answer = app.send(request).await;
    assert_eq!((answer.header("x-request-id"), answer.text("request_id")), ("trace-7", "trace-7"));
    insta::assert_json_snapshot!("no_route", answer.body);
    let made = app.get("/nowhere").await;
    assert_eq!(made.header("x-request-id"), made.text("request_id"));
}

#[tokio::test]
async fn the_second_port_tells_health_and_numbers() {
    let app = TestApp::start().await;
    assert_eq!(app.get_admin("/livez").await.0, 200);
    until("ready", async || app.get_admin("/readyz").await.0 == 200).await;
    app.submit(&say("counted")).await;
    until("the depth is published", async || {
        app.get_admin("/metrics").await.1.contains("csm_queue_depth{lane=\"standard\"} 1")
    })
    .await;
}
