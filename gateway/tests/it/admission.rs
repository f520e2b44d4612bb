//! Admission: refused requests, their reason, and the time of the next try.

use std::time::Duration;

use csm_queue::queue::{WorkerId, WorkerReport};
use futures::SinkExt as _;
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::app::{TestApp, TestResponse};
use crate::sockets::next;
use crate::speech::{OLD_REQUEST, say};
use crate::worker::TestWorker;

/// Returns a request that is expected to take 12 frames.
fn twelve_frames(more: &serde_json::Value) -> String {
    let mut request = json!({"text": "Long enough to need all of a second.", "max_audio_length_ms": 1_000});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request.to_string()
}

/// Reports one worker of so many frames a second as the whole fleet.
async fn report(app: &TestApp, frames_per_second: f64) {
    let report = WorkerReport {
        host: "here".into(),
        model: "test".into(),
        build: "0".into(),
        slots: 1,
        lane_slots: [1; 3],
        running: 0,
        frames_per_second,
        frames: 0,
        draining: false,
    };
    app.queue.report(&WorkerId::of_this_process("slow"), &report).await.unwrap();
}

async fn of_tenant(app: &TestApp, tenant: &str, body: &str) -> TestResponse {
    app.send_with(Method::POST, "/v1/jobs", &[("x-tenant", tenant)], body).await
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_refused_with_the_time_that_it_is_too_long() {
    let app = TestApp::start_with(|args| args.queue.standard_wait_max_seconds = 10).await;
    assert_eq!(app.post("/v1/jobs", say("nobody knows")).await.body["queue"], json!({"ahead": 0}));
    let worker = TestWorker::new();
    worker.work(&app, 1).await;

    report(&app, 2.0).await;
    let first = app.post("/v1/jobs", twelve_frames(&json!({}))).await;
    assert_eq!(first.body["queue"], json!({"ahead": 0, "wait_s": 0.0}), "{}", first.body);
    let second = app.post("/v1/jobs", twelve_frames(&json!({}))).await;
    assert_eq!(second.body["queue"]["ahead"], 1);
    let told = second.body["queue"]["wait_s"].as_f64().unwrap();
    assert!(told > 0.0 && told <= 10.0, "{told}");

    // A refusal names the predicted wait and the limit.
    let refused = app.post("/v1/jobs", twelve_frames(&json!({}))).await;
    assert_eq!((refused.status.as_u16(), refused.text("code")), (429, "queue_busy"), "{}", refused.body);
    let wait = 2.0 * told;
    assert_eq!(
        refused.text("detail"),
        format!("A job in lane standard would wait about {wait:.1} s; the limit is 10.0 s.")
    );
    assert_eq!(refused.retry_after(), (wait - 10.0).ceil() as u64);
    let impatient = app.post("/v1/jobs", twelve_frames(&json!({"expires_in": 3}))).await;
    assert_eq!(impatient.text("code"), "queue_busy", "{}", impatient.body);
    assert_eq!(impatient.retry_after(), (wait - 3.0).ceil() as u64);
    assert!(impatient.text("detail").ends_with("the limit is 3.0 s."), "{}", impatient.body);

    // A deadline comes nearer while the backlog shrinks, so no later try can succeed.
    let deadline = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3)).to_string();
    let hopeless = app.post("/v1/jobs", twelve_frames(&json!({"deadline": deadline}))).await;
    assert_eq!((hopeless.status.as_u16(), hopeless.text("code")), (429, "deadline_too_near"), "{}", hopeless.body);
    assert!(!hopeless.has("retry-after"));

    assert_eq!(app.post("/v1/jobs", twelve_frames(&json!({"lane": "live"}))).await.status, 202, "its lane is empty");
    assert_eq!(app.post("/v1/jobs", twelve_frames(&json!({"lane": "bulk"}))).await.status, 202, "it may wait");
    assert_eq!(app.depth().await, 4, "nothing refused was let in");
}

#[tokio::test]
async fn a_tenant_has_so_many_jobs_and_no_more() {
    let app = TestApp::start_with(|args| args.queue.tenant_open_max = 2).await;
    let headers = [("x-tenant", "acme"), ("idempotency-key", "k")];
    let named = app.send_with(Method::POST, "/v1/jobs", &headers, &say("one")).await;
    assert_eq!((named.status.as_u16(), of_tenant(&app, "acme", &say("two")).await.status.as_u16()), (202, 202));
    let record = app.send_with(Method::GET, named.header("location"), &[("x-tenant", "acme")], "").await;
    assert_eq!(record.text("tenant"), "acme");

    let full = of_tenant(&app, "acme", &say("three")).await;
    assert_eq!((full.status.as_u16(), full.text("code"), full.retry_after()), (429, "tenant_full", 30));
    assert!(full.text("detail").contains("acme has 2 jobs"), "{}", full.body);
    let over_generate = app.send_with(Method::POST, "/generate", &[("x-tenant", "acme")], OLD_REQUEST).await;
    assert_eq!((over_generate.status.as_u16(), over_generate.text("code")), (429, "tenant_full"));
    let mut upgrade = format!("ws://{}/ws", app.address).into_client_request().unwrap();
    upgrade.headers_mut().insert("x-tenant", "acme".parse().unwrap());
    let mut socket = connect_async(upgrade).await.unwrap().0;
    socket.send(OLD_REQUEST.into()).await.unwrap();
    assert!(next(&mut socket).await.to_text().unwrap().contains("tenant_full"));

    let again = app.send_with(Method::POST, "/v1/jobs", &headers, &say("one")).await;
    assert_eq!((again.status.as_u16(), again.is_replay()), (202, true), "what is there is not refused");
    let path = "/v1/jobs/6f1c0a52-9d0b-4c53-8f0e-2d5f2f6f9a11";
    assert_eq!(app.send_with(Method::PUT, path, &[("x-tenant", "acme")], &say("own id")).await.status, 429);
    assert_eq!(of_tenant(&app, "other", &say("mine")).await.status, 202);
    app.submit(&say("of nobody in particular")).await;
}

#[tokio::test]
async fn a_tenant_that_creates_and_cancels_too_often_is_told_when_to_come_back() {
    let app = TestApp::start_with(|args| args.queue.tenant_rate_max = 4).await;
    for _ in 0..2 {
        let made = of_tenant(&app, "acme", &say("never mind")).await;
        assert_eq!(made.status, 202, "{}", made.body);
        let called_off = app.send_with(Method::DELETE, made.header("location"), &[("x-tenant", "acme")], "").await;
        assert_eq!(called_off.text("status"), "cancelled");
    }
    let refused = of_tenant(&app, "acme", &say("once more")).await;
    assert_eq!((refused.status.as_u16(), refused.text("code")), (429, "tenant_rate"), "{}", refused.body);
    assert_eq!(refused.text("detail"), "Tenant acme creates and cancels jobs too often; the limit is 4 a minute.");
    assert!((14..=15).contains(&refused.retry_after()), "a quarter of a minute: {}", refused.retry_after());
    assert_eq!(app.depth().await, 0, "nothing is left of what was cancelled");
    let other = of_tenant(&app, "other", &say("mine")).await;
    assert_eq!((other.status.as_u16(), &other.body["queue"]["ahead"]), (202, &0.into()));
}

#[tokio::test]
async fn a_tenants_name_is_plain() {
    let app = TestApp::start().await;
    for (method, path) in [(Method::POST, "/v1/jobs"), (Method::PUT, "/v1/jobs/my-job"), (Method::POST, "/generate")] {
        for name in ["two words", "a/b", &"x".repeat(65)] {
            let answer = app.send_with(method.clone(), path, &[("x-tenant", name)], &say("a")).await;
            assert_eq!((answer.status.as_u16(), answer.text("field")), (422, "X-Tenant"), "{path}: {}", answer.body);
        }
    }
    let mut upgrade = format!("ws://{}/ws", app.address).into_client_request().unwrap();
    upgrade.headers_mut().insert("x-tenant", "a/b".parse().unwrap());
    let refused = connect_async(upgrade).await.unwrap_err().to_string();
    assert!(refused.contains("422"), "{refused}");
    assert_eq!(app.depth().await, 0);
}

#[tokio::test]
async fn a_gateway_that_differs_from_its_fleet_takes_nothing_and_is_not_ready() {
    let app = TestApp::start_with(|args| args.queue.queue_shards = 4).await;
    // The gateway's own document is older: a fleet of one shard has replaced it.
    let mut document = redis::cmd("HSET");
    document.arg("csm:{q0}:fleet").arg("shards").arg(1).arg("model").arg("another/model");
    app.queue.redis().command::<u64>(&document).await.unwrap();
    let wait = async {
        loop {
            let ready = app.client.get(format!("http://{}/readyz", app.admin_address)).send().await.unwrap();
            let ready: serde_json::Value = ready.json().await.unwrap();
            if ready["status"] == "degraded" {
                return ready["reason"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    for part in ["shards is \"4\" here and \"1\" in the fleet", "and \"another/model\" in the fleet"] {
        assert!(reason.contains(part), "{reason}");
    }
    let refused = app.post("/v1/jobs", say("to nobody")).await;
    assert_eq!((refused.status.as_u16(), refused.text("code")), (503, "unavailable"), "{}", refused.body);
    assert_eq!(app.depth().await, 0);
}

#[tokio::test]
async fn a_closed_queue_takes_nothing_new_and_knows_what_it_has() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let headers = [("idempotency-key", "k")];
    let named = app.send_with(Method::POST, "/v1/jobs", &headers, &say("before")).await;
    assert_eq!(named.status, 202);
    app.queue.close(true).await.unwrap();
    for path in ["/v1/jobs", "/generate"] {
        let closed = app.post(path, say("too late")).await;
        assert_eq!((closed.status.as_u16(), closed.text("code"), closed.retry_after()), (503, "intake_closed", 30));
    }
    assert!(app.send_with(Method::POST, "/v1/jobs", &headers, &say("before")).await.is_replay());
    tokio::time::timeout(Duration::from_secs(5), worker.work(&app, 1)).await.unwrap();
    app.queue.close(false).await.unwrap();
    assert_eq!(app.post("/v1/jobs", say("again")).await.status, 202);
}
