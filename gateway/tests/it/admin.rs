//! `/v1/admin` and `/admin`: what an operator sees and does, and what everybody else does not.

use csm_gateway::{AdminTokenArgs, TargetWaitArgs};
use csm_queue::queue::{LAST_ENDS_MAX, WorkerId, WorkerReport};
use csm_shared::job::{Failure, FailureClass, JobId, Lane};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestResponse};
use crate::speech::say;
use crate::worker::TestWorker;

const TOKEN: &str = "the-token-of-this-test";
/// Text that is in no answer: of a request, and of a failure.
const SECRETS: [&str; 3] = ["somebody's words", "acme", "bucket of acme is full"];

async fn start() -> TestApp {
    TestApp::start_with(|args| args.admin_token = AdminTokenArgs { admin_token: Some(TOKEN.into()) }).await
}

fn bearer() -> (&'static str, String) {
    ("authorization", format!("Bearer {TOKEN}"))
}

/// Sends a request of an operator. An order is sent as JSON.
async fn operate(app: &TestApp, method: Method, path: &str, order: Option<&Value>) -> TestResponse {
    let (name, value) = bearer();
    let body = order.map(Value::to_string).unwrap_or_default();
    app.send_with(method, path, &[(name, value.as_str())], &body).await
}

async fn read(app: &TestApp, path: &str) -> Value {
    let answer = operate(app, Method::GET, path, None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Fails a job of tenant `acme` for good; returns its id.
async fn dead_letter(app: &TestApp, message: &str) -> JobId {
    let answer = app.send_with(Method::POST, "/v1/jobs", &[("x-tenant", "acme")], &say("somebody's words")).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let worker = TestWorker::new();
    let job = worker.claim(app).await;
    worker.fail(app, job.lease, &Failure::new(FailureClass::Resource, message)).await;
    answer.text("id").parse().unwrap()
}

/// Every route that operates, with an order that it takes.
fn operations() -> [(&'static str, Value); 4] {
    let group = json!({"class": "resource"});
    [
        ("/v1/admin/lanes/live/pause", Value::Null),
        ("/v1/admin/lanes/live/resume", Value::Null),
        ("/v1/admin/dead-letters/retry", group.clone()),
        ("/v1/admin/dead-letters/purge", group),
    ]
}

#[tokio::test]
async fn without_the_token_nothing_is_operated_and_nobody_is_named() {
    let app = start().await;
    let id = dead_letter(&app, SECRETS[2]).await.to_string();
    for path in ["/v1/admin/fleet", "/v1/admin/ends", "/v1/admin/dead-letters", "/admin"] {
        let answer = app.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().await.unwrap();
        for hidden in SECRETS.iter().chain([&id.as_str()]) {
            assert!(!text.contains(hidden), "{path} tells {hidden}: {text}");
        }
    }
    assert_eq!(app.get("/v1/admin/fleet").await.body["access"], "read_only");
    assert_eq!(app.get("/v1/admin/dead-letters").await.body["groups"][0]["count"], 1);
    for (path, order) in operations() {
        for (header, value) in [
            ("x-no", String::new()),
            ("authorization", "Bearer the-token-of-another-test".into()),
            ("authorization", format!("Bearer {TOKEN}x")),
            ("authorization", format!("Basic {TOKEN}")),
            ("authorization", TOKEN.into()),
        ] {
            let answer = app.send_with(Method::POST, path, &[(header, value.as_str())], &order.to_string()).await;
            assert_eq!((answer.status.as_u16(), answer.text("code")), (401, "admin_token"), "{path} {value}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let wrong = [("authorization", "Bearer the-token-of-another-test")];
    assert_eq!(app.send_with(Method::GET, "/v1/admin/fleet", &wrong, "").await.status, 401, "it is told so");
    let stats = app.queue.stats().await.unwrap();
    assert!(stats.dead == 1 && !stats.lanes[0].paused);
}

#[tokio::test]
async fn a_gateway_without_a_token_shows_numbers_and_operates_for_nobody() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/v1/admin/fleet").await.body["access"], "operations_off");
    for (path, order) in operations() {
        for token in [format!("Bearer {TOKEN}"), "Bearer ".into(), "Bearer undefined".into()] {
            let headers = [("authorization", token.as_str())];
            let answer = app.send_with(Method::POST, path, &headers, &order.to_string()).await;
            assert_eq!((answer.status.as_u16(), answer.text("code")), (403, "admin_off"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_operates_nothing_even_with_the_token() {
    let app = start().await;
    let (name, value) = bearer();
    for (path, order) in operations() {
        let headers = [(name, value.as_str()), ("origin", "https://evil.example")];
        let answer = app.send_with(Method::POST, path, &headers, &order.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (403, "foreign_origin"), "{path}");
    }
    // A form of the page's own origin sends no JSON.
    let form = app.request(Method::POST, "/v1/admin/dead-letters/purge").header(name, &value);
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("class=resource");
    assert_eq!(app.send(form).await.status, 415);
}

#[tokio::test]
async fn a_lane_is_paused_and_resumed() {
    let app = start().await;
    for (action, paused) in [("pause", true), ("pause", true), ("resume", false), ("resume", false)] {
        let answer = operate(&app, Method::POST, &format!("/v1/admin/lanes/bulk/{action}"), None).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({"lane": "bulk", "paused": paused})));
        let shown = &app.get("/v1/admin/fleet").await.body["lanes"];
        let shown: Vec<_> = shown.as_array().unwrap().iter().map(|lane| lane["paused"] == true).collect();
        assert_eq!(shown, [false, false, paused]);
    }
    let answer = operate(&app, Method::POST, "/v1/admin/lanes/fast/pause", None).await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (422, "malformed"));
}

#[tokio::test]
async fn the_fleet_is_shown_with_what_its_size_follows_from() {
    let app = TestApp::start_with(|args| {
        args.target_wait = TargetWaitArgs { live_target_wait_seconds: 4.0, ..TargetWaitArgs::default() };
    })
    .await;
    app.submit(&json!({"text": "Words that wait.", "lane": "live"}).to_string()).await;
    let lane = app.get("/v1/admin/fleet").await.body["lanes"][0].clone();
    assert_eq!(
        (&lane["waiting"], &lane["unclaimed"], &lane["target_wait_s"]),
        (&json!(1), &json!("no_worker"), &json!(4.0))
    );
    // 2 s of audio in a second by 5 slots.
    let report = WorkerReport {
        host: "gpu-1".into(),
        model: "m".into(),
        build: "0.1.0-abc".into(),
        slots: 5,
        lane_slots: [5, 4, 3],
        running: 2,
        frames_per_second: 25.0,
        frames: 1,
        draining: false,
    };
    app.queue.report(&WorkerId::of_this_process("gpu-1"), &report).await.unwrap();
    let draining = WorkerReport { draining: true, build: "0.0.9".into(), ..report };
    app.queue.report(&WorkerId::of_this_process("gpu-2"), &draining).await.unwrap();
    let fleet = app.get("/v1/admin/fleet").await.body;
    assert_eq!(fleet["lanes"][0]["unclaimed"], Value::Null);
    assert_eq!((&fleet["slots"]["there"], &fleet["slots"]["busy"]), (&json!(5), &json!(2)), "{fleet}");
    assert_eq!((&fleet["slots"]["measured"], &fleet["slots"]["audio_s_per_s"]), (&json!(true), &json!(0.4)));
    let waiting = fleet["lanes"][0]["waiting_audio_s"].as_f64().unwrap();
    let wanted = (waiting / (0.4 * 4.0)).ceil();
    assert_eq!(fleet["lanes"][0]["desired_slots"].as_f64(), Some(wanted), "{fleet}");
    assert_eq!(fleet["slots"]["desired"].as_f64(), Some(wanted));
    let builds = json!([
        {"build": "0.0.9", "workers": 1, "slots": 5}, {"build": "0.1.0-abc", "workers": 1, "slots": 5}
    ]);
    assert_eq!(fleet["builds"], builds);
    assert_eq!(fleet["workers"][0]["build"], "0.1.0-abc");
}

#[tokio::test]
async fn dead_letters_are_counted_then_purged_as_they_were_counted() {
    let app = start().await;
    let (first, _) = (dead_letter(&app, "out of memory").await, dead_letter(&app, "out of memory").await);
    let other = dead_letter(&app, "lost the device").await;
    let list = read(&app, "/v1/admin/dead-letters").await;
    assert_eq!((&list["total"], &list["grouped"]), (&json!(3), &json!(3)));
    let group = &list["groups"][0];
    assert_eq!(
        (&group["class"], &group["error"], &group["count"]),
        (&json!("resource"), &json!("out of memory"), &json!(2))
    );
    assert_eq!(
        (&group["letters"][1]["id"], &group["letters"][1]["tenant"]),
        (&json!(first.to_string()), &json!("acme"))
    );

    let mut order = json!({"class": "resource", "error": "out of memory", "dry_run": true});
    let counted = operate(&app, Method::POST, "/v1/admin/dead-letters/purge", Some(&order)).await.body;
    assert_eq!((&counted["matched"], &counted["done"]), (&json!(2), &json!(0)));
    let late = dead_letter(&app, "out of memory").await;
    (order["dry_run"], order["until"]) = (json!(false), counted["until"].clone());
    let purged = operate(&app, Method::POST, "/v1/admin/dead-letters/purge", Some(&order)).await.body;
    assert_eq!((&purged["matched"], &purged["done"], &purged["left"]), (&json!(2), &json!(2), &json!(0)));
    let mut left: Vec<_> = app.queue.dead_letters(9).await.unwrap().into_iter().map(|letter| letter.id).collect();
    left.sort_unstable();
    let mut kept = [late.to_string(), other.to_string()];
    kept.sort_unstable();
    assert_eq!(left, kept, "a letter that came after the count is kept");
}

#[tokio::test]
async fn dead_letters_become_new_jobs_one_by_one_and_as_a_group() {
    let app = start().await;
    let first = dead_letter(&app, "out of memory").await;
    for _ in 0..3 {
        dead_letter(&app, "lost the device").await;
    }
    let order = json!({"id": first.to_string()});
    let path = "/v1/admin/dead-letters/retry";
    let retried = operate(&app, Method::POST, path, Some(&order)).await.body;
    let new: JobId = retried["job"].as_str().unwrap().parse().unwrap();
    assert_eq!(app.record(&first).await.replayed_as, Some(new));
    let group = operate(&app, Method::POST, path, Some(&json!({"class": "resource"}))).await.body;
    assert_eq!((&group["done"], &group["left"]), (&json!(3), &json!(0)));
    assert_eq!((app.lane_depth(Lane::Standard).await, app.queue.stats().await.unwrap().dead), (4, 0));
    let purge = operate(&app, Method::POST, "/v1/admin/dead-letters/purge", Some(&order)).await;
    assert_eq!((purge.status.as_u16(), purge.text("code")), (404, "dead_letter_not_found"));
    for wrong in [json!({}), json!({"id": "x", "class": "resource"}), json!({"class": "resource", "all": 1})] {
        let answer = operate(&app, Method::POST, path, Some(&wrong)).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (422, "malformed"), "{wrong}");
    }
}

#[tokio::test]
async fn the_last_ends_are_listed_with_their_reasons() {
    let app = start().await;
    let failed = dead_letter(&app, "out of memory").await;
    let done = app.submit(&say("somebody's words")).await;
    let worker = TestWorker::who_cuts_off();
    worker.work(&app, 1).await;
    let waiting = app.submit(&say("somebody's words")).await;
    app.delete(&format!("/v1/jobs/{waiting}")).await;
    let ends = read(&app, "/v1/admin/ends").await["ends"].clone();
    let told: Vec<_> = ends
        .as_array()
        .unwrap()
        .iter()
        .map(|end| {
            [&end["job"], &end["state"], &end["reason"], &end["attempt"]]
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let expected = [
        [waiting.to_string(), "cancelled".into(), "null".into(), "0".into()],
        [done.to_string(), "succeeded".into(), "length".into(), "1".into()],
        [failed.to_string(), "failed".into(), "resource".into(), "1".into()],
    ];
    assert_eq!(told, expected);
    assert_eq!((&ends[0]["worker"], &ends[0]["seconds"]), (&Value::Null, &Value::Null));
    assert!(ends[1]["worker"].as_str().unwrap().starts_with("test:") && ends[1]["seconds"].is_f64());
    assert_eq!((&ends[1]["lane"], &ends[2]["tenant"]), (&json!("standard"), &json!("acme")));

    for _ in 0..LAST_ENDS_MAX {
        let id = app.submit(&say("somebody's words")).await;
        app.delete(&format!("/v1/jobs/{id}")).await;
    }
    let ends = read(&app, "/v1/admin/ends").await["ends"].clone();
    assert_eq!(ends.as_array().unwrap().len(), LAST_ENDS_MAX);
    assert!(ends.as_array().unwrap().iter().all(|end| end["state"] == "cancelled"), "{ends}");
    let mut length = redis::cmd("LLEN");
    let kept: usize = app.queue.redis().command(length.arg("csm:{q0}:last_ends")).await.unwrap();
    assert_eq!(kept, LAST_ENDS_MAX);
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_as_such() {
    let mut app = start().await;
    app.redis.kill().await.unwrap();
    for path in ["/v1/admin/fleet", "/v1/admin/ends", "/v1/admin/dead-letters"] {
        let answer = operate(&app, Method::GET, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "unavailable"), "{path}");
    }
    let page = app.request(Method::GET, "/admin").send().await.unwrap();
    assert_eq!(page.status(), 200, "the page itself needs no Redis");
}
