//! Headers of answers with audio: generated, media type, and marks.

use csm_shared::watermark::{Finding, Scheme, Verdict};
use reqwest::{Method, Response};
use serde_json::json;
use tokio_tungstenite::connect_async;

use crate::app::TestApp;
use crate::speech::{OLD_REQUEST, say};
use crate::worker::TestWorker;

fn finding(scheme: Scheme, verdict: Verdict) -> Finding {
    Finding { scheme, verdict, p_value: 1e-9, score: 9.0, key_id: "0badcafe".into(), regions: Vec::new() }
}

/// Makes a worker that found both marks, one of them inconclusively.
fn worker() -> TestWorker {
    TestWorker::who_found(vec![
        finding(Scheme::Builtin, Verdict::Detected),
        finding(Scheme::Silentcipher, Verdict::Inconclusive),
    ])
}

/// Returns both headers of an answer.
fn told(response: &Response) -> (Option<&str>, Option<&str>) {
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
    (header("x-ai-generated"), header("x-watermark"))
}

const GENERATED: Option<&str> = Some("trainedAlgorithmicMedia");
const MARKS: Option<&str> = Some("builtin:0badcafe, silentcipher:0badcafe");

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Response {
    let request =
        headers.iter().fold(app.request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_file_says_so_whole_in_part_and_not_modified() {
    let (app, worker) = (TestApp::start().await, worker());
    let id = app.submit(&say("listen")).await;
    let receipt = worker.succeed(&app, worker.claim(&app).await).await;
    let (path, etag) = (format!("/v1/jobs/{id}/audio"), format!("\"{}\"", receipt.sha256));
    let answers = [
        (200, get(&app, &path, &[]).await),
        (206, get(&app, &path, &[("range", "bytes=40-99")]).await),
        (304, get(&app, &path, &[("if-none-match", &etag)]).await),
        (200, app.request(Method::HEAD, &path).send().await.unwrap()),
    ];
    for (status, answer) in &answers {
        assert_eq!((answer.status().as_u16(), told(answer)), (*status, (GENERATED, MARKS)));
    }
    let beyond = get(&app, &path, &[("range", "bytes=99999999-")]).await;
    assert_eq!((beyond.status().as_u16(), told(&beyond)), (416, (None, None)), "no audio, nothing to say");
}

#[tokio::test]
async fn the_media_type_is_that_of_the_receipt() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for (format, media_type) in [
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm;rate=24000;encoding=signed-int;bits=16"),
        ("flac", "audio/flac"),
        ("opus", "audio/ogg;codecs=opus"),
    ] {
        let id = app.submit(&json!({"text": "listen", "format": format}).to_string()).await;
        let receipt = worker.succeed(&app, worker.claim(&app).await).await;
        assert!(receipt.location.ends_with(format), "{}", receipt.location);
        let answer = get(&app, &format!("/v1/jobs/{id}/audio"), &[]).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
        assert_eq!(told(&answer), (GENERATED, None), "a receipt that names no mark");
    }
}

#[tokio::test]
async fn a_mark_that_was_not_found_is_not_named() {
    let missed = vec![finding(Scheme::Builtin, Verdict::Detected), finding(Scheme::Silentcipher, Verdict::NotDetected)];
    let (app, worker) = (TestApp::start().await, TestWorker::who_found(missed));
    let id = app.submit(&say("listen")).await;
    worker.work(&app, 1).await;
    assert_eq!(told(&get(&app, &format!("/v1/jobs/{id}/audio"), &[]).await), (GENERATED, Some("builtin:0badcafe")));
}

#[tokio::test]
async fn so_do_the_old_faces_and_the_events() {
    let (app, worker) = (TestApp::start().await, worker());
    let generate = app.request(Method::POST, "/generate").header("content-type", "application/json").body(OLD_REQUEST);
    let (answer, ()) = tokio::join!(generate.send(), worker.work(&app, 1));
    assert_eq!(told(&answer.unwrap()), (GENERATED, MARKS));

    let (_socket, opened) = connect_async(format!("ws://{}/ws", app.address)).await.unwrap();
    assert_eq!(opened.headers()["x-ai-generated"], "trainedAlgorithmicMedia");

    let id = app.submit(&say("story")).await;
    let events = get(&app, &format!("/v1/jobs/{id}/events"), &[]).await;
    assert_eq!((events.status().as_u16(), told(&events)), (200, (GENERATED, None)));
}
