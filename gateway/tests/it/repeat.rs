//! Repeated requests, by key or by id: one job, even if answers are lost.

use std::collections::BTreeSet;

use csm_shared::job::{JobId, JobState, Tenant};
use futures::future::join_all;
use reqwest::Method;
use reqwest::header::HeaderValue;

use crate::app::{TestApp, TestResponse, until};
use crate::proxy::{Proxy, UNHEARD};
use crate::speech::say;
use crate::worker::TestWorker;

const ID: &str = "6f1c0a52-9d0b-4c53-8f0e-2d5f2f6f9a11";

async fn post(app: &TestApp, key: &str, body: &str) -> TestResponse {
    app.send_with(Method::POST, "/v1/jobs", &[("idempotency-key", key)], body).await
}

async fn put(app: &TestApp, id: &str, body: &str) -> TestResponse {
    app.send_with(Method::PUT, &format!("/v1/jobs/{id}"), &[], body).await
}

#[tokio::test]
async fn a_repeated_key_answers_the_same_job_to_its_end() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let first = post(&app, "order-1", r#"{"text": "once", "lane": "bulk", "topk": 20}"#).await;
    assert_eq!((first.status.as_u16(), first.is_replay()), (202, false), "{}", first.body);
    // The order of fields is no part of a request.
    let again = post(&app, "order-1", r#"{"topk": 20, "lane": "bulk", "text": "once"}"#).await;
    assert_eq!((again.status.as_u16(), again.is_replay()), (202, true));
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));

    let job = worker.claim(&app).await;
    assert_eq!(first.body["seed"], job.spec.sampling.seed.get(), "the seed that was drawn is the one that was told");
    assert_eq!(
        post(&app, "order-1", r#"{"text": "once", "lane": "bulk", "topk": 20}"#).await.text("status"),
        "running"
    );
    let receipt = worker.succeed(&app, job).await;
    let done = post(&app, "order-1", r#"{"text": "once", "lane": "bulk", "topk": 20}"#).await;
    assert_eq!((done.text("status"), done.is_replay()), ("succeeded", true));
    assert_eq!((&done.body["seed"], &done.body["id"]), (&receipt.seed.into(), &first.body["id"]));
    assert!(done.body["links"]["audio"].is_string() && done.body["queue"].is_null());
    assert_eq!(app.depth().await, 0, "nothing is spoken twice");
}

#[tokio::test]
async fn many_at_once_with_one_key_are_one_job() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let body = say("all together");
    let answers = join_all((0..20).map(|_| post(&app, "storm", &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    let jobs: BTreeSet<_> = answers.iter().map(|answer| (answer.text("id"), answer.body["seed"].as_u64())).collect();
    assert_eq!(jobs.len(), 1, "one id, one seed");
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1, "one was the first");
    assert_eq!(app.depth().await, 1);
    worker.work(&app, 1).await;
    assert!(worker.try_claim(&app).await.is_none());
}

#[tokio::test]
async fn another_request_of_the_same_key_is_refused() {
    let app = TestApp::start().await;
    let first = post(&app, "order-2", &say("one thing")).await;
    let other = post(&app, "order-2", &say("another thing")).await;
    assert_eq!(other.status, 422);
    assert_eq!(other.body["job"], first.body["id"]);
    insta::assert_json_snapshot!("idempotency_mismatch", other.body, {".job" => "[id]", ".request_id" => "[id]"});

    // Keys belong to tenants, and without one every request is new.
    let headers = [("idempotency-key", "order-2"), ("x-tenant", "acme")];
    let theirs = app.send_with(Method::POST, "/v1/jobs", &headers, &say("another thing")).await;
    assert_eq!((theirs.status.as_u16(), theirs.is_replay()), (202, false));
    let (one, two) = (app.submit(&say("one thing")).await, app.submit(&say("one thing")).await);
    let ids = BTreeSet::from([one.to_string(), two.to_string(), first.text("id").into(), theirs.text("id").into()]);
    assert_eq!((ids.len(), app.depth().await), (4, 4));
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_characters() {
    let app = TestApp::start().await;
    let long = "k".repeat(256);
    for (key, shown) in [("", "(empty)"), (&long, "kkk"), ("two words", "two words"), ("Schlüssel", "Schlüssel")] {
        let value = HeaderValue::from_bytes(key.as_bytes()).unwrap();
        let request = app.request(Method::POST, "/v1/jobs").header("idempotency-key", value).body(say("a"));
        let answer = app.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.text("field")), (400, "Idempotency-Key"), "{}", answer.body);
        assert!(answer.text("value").starts_with(shown) && answer.text("limit").starts_with("1 to 255 characters"));
    }
    assert_eq!(app.depth().await, 0);
    assert_eq!(post(&app, &long[..255], &say("a")).await.status, 202);
}

#[tokio::test]
async fn a_job_is_put_under_the_callers_own_id_once() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (first, again) = (put(&app, ID, &say("mine")).await, put(&app, ID, &say("mine")).await);
    assert_eq!((first.status.as_u16(), first.is_replay()), (202, false), "{}", first.body);
    assert_eq!((again.status.as_u16(), again.is_replay()), (202, true));
    assert_eq!((first.text("id"), first.header("location")), (ID, format!("/v1/jobs/{ID}").as_str()));
    assert_eq!(first.body, again.body);

    let other = put(&app, ID, &say("something else")).await;
    assert_eq!((other.status.as_u16(), other.text("code")), (422, "idempotency_mismatch"));
    let path = format!("/v1/jobs/{ID}");
    let theirs = app.send_with(Method::PUT, &path, &[("x-tenant", "acme")], &say("mine")).await;
    assert_eq!(theirs.text("code"), "idempotency_mismatch", "another tenant's request is another one");
    worker.work(&app, 1).await;
    assert_eq!(app.get(&path).await.text("status"), "succeeded");

    let nameless = put(&app, "my-job", &say("mine")).await;
    assert_eq!((nameless.status.as_u16(), nameless.text("field"), nameless.text("value")), (422, "id", "my-job"));
    assert_eq!(app.depth().await, 0);
}

/// A caller that named its job asks again and must find it. A job without a name must not stay
/// behind.
#[tokio::test]
async fn a_job_whose_acceptance_was_not_heard_stays_only_if_it_can_be_asked_for() {
    let mut proxy = None;
    let app = TestApp::start_with(|args| {
        let server = args.redis.redis_url.split("//").nth(1).unwrap();
        let server = server.split('/').next().unwrap().parse().unwrap();
        let through = proxy.insert(Proxy::start(server));
        args.redis.redis_url = format!("redis://{}", through.address);
    })
    .await;
    let proxy = proxy.unwrap();
    // Redis knows the script before answers are lost.
    app.submit(&say("heard")).await;
    proxy.lose_answers(true);
    let body = say(UNHEARD);
    let (named, nameless) = tokio::join!(post(&app, "k", &body), app.post("/v1/jobs", body.as_str()));
    for answer in [named, nameless] {
        assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "unavailable"), "{}", answer.body);
    }
    proxy.lose_answers(false);

    let id = JobId::of_key(&app.queue.id_secret().await.unwrap(), &Tenant::default(), "k");
    until("the job that nobody can ask for is called off", async || {
        let ended = app.queue.stats().await.unwrap().ended;
        ended.iter().any(|(state, jobs)| *state == JobState::Cancelled && *jobs == 1)
    })
    .await;
    assert_eq!(app.record(&id).await.state, JobState::Queued);
    let again = post(&app, "k", &body).await;
    assert_eq!((again.status.as_u16(), again.is_replay(), again.text("status")), (202, true, "queued"));
    assert_eq!(again.text("id"), id.to_string());
}
