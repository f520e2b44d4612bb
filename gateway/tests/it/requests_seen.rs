//! What `/metrics` says about requests, connections and the process, and what refusals repeat.

use reqwest::Method;

use crate::app::{TestApp, until};
use crate::speech::say;
use crate::ws::open;

/// Returns the value of a series, or none.
fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test]
async fn requests_are_timed_by_route_method_and_status() {
    let app = TestApp::start().await;
    let id = app.submit(&say("timed")).await;
    app.get(&format!("/v1/jobs/{id}")).await;
    app.get("/nowhere/at/all").await;
    let strange = Method::from_bytes(b"BREW").unwrap();
    app.send(app.request(strange, "/problems")).await;
    let (_, metrics) = app.get_admin("/metrics").await;
    for labels in [
        "route=\"/v1/jobs\",method=\"POST\",status=\"202\"",
        "route=\"/v1/jobs/{id}\",method=\"GET\",status=\"200\"",
        "route=\"(none)\",method=\"GET\",status=\"404\"",
        "route=\"/problems\",method=\"(other)\",status=\"405\"",
    ] {
        let series = format!("csm_http_request_seconds_count{{{labels}}}");
        assert!(value(&metrics, &series).is_some_and(|count| count >= 1.0), "{series}: {metrics}");
    }
    assert!(!metrics.contains(&id.to_string()) && !metrics.contains("nowhere"), "labels are templates");
}

#[tokio::test]
async fn open_connections_and_sockets_are_counted_and_the_process_has_figures() {
    let app = TestApp::start().await;
    let socket = open(&app).await;
    app.get("/problems").await;
    // The client keeps its connection open. The tests of a process share one recorder, so the gauges
    // may count more than this test opened.
    until("the socket is counted", async || {
        let (_, metrics) = app.get_admin("/metrics").await;
        let count = |series| value(&metrics, series).unwrap_or(0.0);
        count("csm_websockets ") >= 1.0 && count("csm_http_connections ") >= 1.0
    })
    .await;
    drop(socket);
    until("the socket is gone", async || {
        let (_, metrics) = app.get_admin("/metrics").await;
        value(&metrics, "csm_websockets ") == Some(0.0)
    })
    .await;
    let (_, metrics) = app.get_admin("/metrics").await;
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
        assert!(value(&metrics, &format!("process_{name} ")).is_some(), "{name}: {metrics}");
    }
}

#[tokio::test]
async fn a_refusal_repeats_little_of_a_long_request() {
    let app = TestApp::start().await;
    // The head of a request may have 16 KiB.
    let long = "a".repeat(12_000);
    let method = Method::from_bytes(&[b'M'; 5_000]).unwrap();
    let answers = [
        app.get(&format!("/{long}")).await,
        app.get(&format!("/problems/{long}")).await,
        app.get(&format!("/v1/jobs/{long}")).await,
        app.get(&format!("/v1/jobs/{long}/events")).await,
        app.send(app.request(method, "/problems")).await,
        app.send(app.request(Method::GET, "/problems").header("host", &long)).await,
        app.send(app.request(Method::GET, "/problems").header("origin", &long)).await,
    ];
    for answer in answers {
        assert!(answer.status.is_client_error() && !answer.text("code").is_empty(), "{}", answer.body);
        let bytes = answer.body.to_string().len();
        assert!(bytes < 600, "{bytes} bytes: {}", answer.body);
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_passed_over() {
    let app = TestApp::start().await;
    let answer = app.post("/v1/jobs", format!("\u{feff}{}", say("marked"))).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let twice = app.post("/v1/jobs", format!("\u{feff}\u{feff}{}", say("marked"))).await;
    assert_eq!((twice.status.as_u16(), twice.text("code")), (400, "malformed"));
}

#[tokio::test]
async fn a_text_of_unseen_characters_is_not_spoken() {
    let app = TestApp::start().await;
    for unseen in ["\u{200b}", "\u{0}", "\u{feff}\u{2060}"] {
        let answer = app.post("/v1/jobs", say(unseen)).await;
        assert_eq!((answer.status.as_u16(), answer.text("field")), (422, "text"), "{}", answer.body);
        assert!(answer.text("value").ends_with("(blank)"), "{}", answer.body);
    }
    assert_eq!(app.depth().await, 0);
}
