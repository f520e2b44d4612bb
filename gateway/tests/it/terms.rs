//! Terms on which jobs wait and are kept, and their trace in records.

use csm_shared::job::{Failure, FailureClass, JobState};
use eventsource_stream::Eventsource as _;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{PATIENCE, TestApp, until};
use crate::speech::say;
use crate::worker::TestWorker;

#[tokio::test]
async fn terms_that_cannot_be_kept_are_refused() {
    let app = TestApp::start().await;
    let past = (Timestamp::now() - SignedDuration::from_secs(1)).to_string();
    for (field, value, shown, limit) in [
        ("expires_in", json!(0), "0", "1 to 604800 s"),
        ("expires_in", json!(604_801), "604801", "1 to 604800 s"),
        ("expires_in", json!(-1), "-1", "1 to 604800 s"),
        ("expires_in", json!("soon"), "\"soon\"", "a whole number"),
        ("deadline", json!("tomorrow"), "tomorrow", "an RFC 3339 timestamp"),
        ("deadline", json!("2030-01-31"), "2030-01-31", "an RFC 3339 timestamp"),
        ("deadline", json!(1_900_000_000), "1900000000", "a string"),
        ("deadline", json!(past), past.as_str(), "later than 20"),
        ("durability", json!("disk"), "disk", "default or fsync"),
        ("durability", json!(true), "true", "a string"),
    ] {
        let answer = app.post("/v1/jobs", json!({"text": "a", field: value}).to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.text("field")), (422, field), "{}", answer.body);
        assert_eq!(answer.text("value"), shown);
        assert!(answer.text("limit").starts_with(limit), "{}", answer.body);
    }
    assert_eq!(app.depth().await, 0);
    let terms =
        json!({"text": "a", "expires_in": 604_800, "deadline": "2999-01-31T12:00:00+02:00", "durability": "default"});
    assert_eq!(app.post("/v1/jobs", terms.to_string()).await.status, 202);
}

#[tokio::test]
async fn a_job_that_waits_too_long_expires_and_its_followers_hear() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(r#"{"text": "quick or never", "expires_in": 1}"#).await;
    let events = app.request(Method::GET, &format!("/v1/jobs/{id}/events")).send().await.unwrap();
    let events = events.bytes_stream().eventsource().map(Result::unwrap).collect::<Vec<_>>();
    let events = tokio::time::timeout(PATIENCE, events).await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    let end: Value = serde_json::from_str(&events[0].data).unwrap();
    assert_eq!(
        (events[0].event.as_str(), &end["event"], &end["state"]),
        ("no_result", &json!("no_result"), &json!("expired"))
    );

    let record = app.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(record.text("status"), "expired");
    assert!(record.body["finished_at"].is_string() && record.body["started_at"].is_null());
    let audio = app.get(&format!("/v1/jobs/{id}/audio")).await;
    assert_eq!((audio.status.as_u16(), audio.text("code")), (410, "job_expired"));
    let late = app.delete(&format!("/v1/jobs/{id}")).await;
    assert_eq!((late.status.as_u16(), late.text("code"), late.text("state")), (409, "job_already_final", "expired"));
    assert!(worker.try_claim(&app).await.is_none());
}

#[tokio::test]
async fn a_repeated_request_is_told_of_its_job_even_after_its_deadline() {
    let app = TestApp::start().await;
    let deadline = Timestamp::now() + SignedDuration::from_secs(4);
    let body = json!({"text": "soon", "deadline": deadline.to_string()}).to_string();
    let post = async |tenant: &str| {
        let headers = [("idempotency-key", "k"), ("x-tenant", tenant)];
        app.send_with(Method::POST, "/v1/jobs", &headers, &body).await
    };
    let first = post("one").await;
    assert_eq!(first.status, 202, "{}", first.body);
    let id = first.text("id").parse().unwrap();
    until("it expires", async || app.record(&id).await.state == JobState::Expired).await;
    let again = post("one").await;
    assert_eq!((again.status.as_u16(), again.is_replay(), again.text("status")), (202, true, "expired"));
    let new = post("two").await;
    assert_eq!((new.status.as_u16(), new.text("field")), (422, "deadline"), "a new one comes too late");
}

#[tokio::test]
async fn records_show_whose_a_job_is_what_it_is_suspected_of_and_what_became_of_it() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("suspicious")).await;
    let path = format!("/v1/jobs/{id}");
    let plain = app.get(&path).await;
    assert_eq!(
        (plain.text("tenant"), &plain.body["suspect"], &plain.body["replayed_as"]),
        ("default", &Value::Null, &Value::Null)
    );

    let died = Failure::new(FailureClass::Resource, "the engine died");
    worker.claim(&app).await.lease.suspect(&died).await.unwrap();
    assert_eq!(app.get(&path).await.body["suspect"], true);
    let job = worker.claim(&app).await;
    assert!(job.alone);
    worker.fail(&app, job.lease, &died).await;
    let new = app.queue.replay(&id).await.unwrap().unwrap();
    let answer = app.get(&path).await;
    assert_eq!((answer.text("status"), answer.text("replayed_as")), ("failed", new.to_string().as_str()));
    assert_eq!(app.get(&format!("/v1/jobs/{new}")).await.text("status"), "queued");
}

#[tokio::test]
async fn durability_that_redis_cannot_promise_is_refused() {
    let app = TestApp::start().await;
    let body = r#"{"text": "for ever", "durability": "fsync"}"#;
    let kept = app.post("/v1/jobs", body).await;
    assert_eq!(kept.status, 202, "{}", kept.body);
    let mut off = redis::cmd("CONFIG");
    off.arg("SET").arg("appendonly").arg("no");
    app.queue.redis().command::<()>(&off).await.unwrap();
    let refused = app.post("/v1/jobs", body).await;
    assert_eq!((refused.status.as_u16(), refused.text("code")), (501, "durability_unavailable"), "{}", refused.body);
    assert_eq!(app.depth().await, 1);
}
