//! Warnings about recordings that are taken although something is missing of them.

use csm_queue::queue::{Enqueue, Ticket};
use csm_shared::audio::Clip;
use csm_shared::job::{InputWarnings, JobId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestResponse};
use crate::sockets::{connect, send, told};
use crate::speech::{encode, segment};
use crate::worker::TestWorker;

/// Bytes that are missing at the end of the recording.
const MISSING: usize = 1_002;

/// Returns a WAV file that ends before the length in its header.
fn cut_off() -> Vec<u8> {
    let mut file = Clip::from_samples(vec![99; 3 * 1_920]).to_wav();
    file.truncate(file.len() - MISSING);
    file
}

/// Returns a request whose second recording is cut off.
fn request() -> Value {
    let recording = json!({"text": "Good morning.", "speaker": 1, "audio": encode(&cut_off())});
    json!({"text": "a", "max_audio_length_ms": 1_000, "context_segments": [segment(1), recording]})
}

/// Checks that the one warning is about a field, and says how much is missing.
fn assert_warned(warnings: &Value, field: &str) {
    let list = warnings.as_array().unwrap_or_else(|| panic!("no list: {warnings}"));
    assert_eq!((list.len(), &list[0]["field"]), (1, &json!(field)), "{warnings}");
    assert!(list[0]["message"].as_str().unwrap().contains(&MISSING.to_string()), "{warnings}");
}

async fn post(app: &TestApp, path: &str, body: &Value) -> TestResponse {
    app.send_with(Method::POST, path, &[("idempotency-key", "once")], &body.to_string()).await
}

#[tokio::test]
async fn the_warnings_of_a_job_are_in_its_document_to_the_end() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let spec = {
        app.submit(r#"{"text": "a", "max_audio_length_ms": 1000}"#).await;
        let job = worker.claim(&app).await;
        let spec = job.spec.clone();
        worker.succeed(&app, job).await;
        spec
    };
    let mut warnings = InputWarnings::default();
    warnings.add("context_segments[0].audio", vec!["it ends early".to_owned(), "it is loud".to_owned()]);
    let ticket = Ticket { warnings: warnings.clone(), ..Ticket::new(JobId::generate()) };
    assert!(matches!(app.queue.enqueue(&ticket, &spec).await.unwrap(), Enqueue::Accepted { .. }));
    let expected = json!([{"field": "context_segments[0].audio", "message": "it ends early"},
        {"field": "context_segments[0].audio", "message": "it is loud"}]);
    let path = format!("/v1/jobs/{}", ticket.id);
    assert_eq!(app.get(&path).await.body["warnings"], expected);
    worker.work(&app, 1).await;
    let ended = app.get(&path).await;
    assert_eq!((ended.text("status"), &ended.body["warnings"]), ("succeeded", &expected));
    assert_eq!(app.record(&ticket.id).await.warnings, warnings);
}

#[tokio::test]
async fn a_sound_request_has_no_warnings() {
    let app = TestApp::start().await;
    let body = json!({"text": "a", "max_audio_length_ms": 1_000, "context_segments": [segment(1)]});
    let answer = post(&app, "/v1/jobs", &body).await;
    assert!(answer.status == 202 && answer.body.get("warnings").is_none(), "{}", answer.body);
    let document = app.get(answer.header("location")).await;
    assert!(document.status == 200 && document.body.get("warnings").is_none(), "{}", document.body);
}

#[tokio::test]
async fn a_recording_that_is_cut_off_is_named_in_the_answer_and_in_its_repeat() {
    let app = TestApp::start().await;
    let first = post(&app, "/v1/jobs", &request()).await;
    assert_eq!(first.status, 202, "{}", first.body);
    assert_warned(&first.body["warnings"], "context_segments[1].audio");
    let again = post(&app, "/v1/jobs", &request()).await;
    assert_eq!((again.is_replay(), &again.body), (true, &first.body));
    assert_eq!(app.get(first.header("location")).await.body["warnings"], first.body["warnings"]);
}

#[tokio::test]
async fn answers_that_are_audio_tell_it_in_a_header() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (answer, ()) = tokio::join!(app.post("/generate", request().to_string()), worker.work(&app, 1));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told = answer.header("x-input-warning");
    assert!(told.starts_with("context_segments[1].audio: ") && told.contains(&MISSING.to_string()), "{told}");
}

#[tokio::test]
async fn sockets_tell_it_when_a_context_begins_and_behind_a_file() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = connect(&app, "/v1/stream").await;
    let mut start = request();
    start.as_object_mut().unwrap().remove("text");
    (start["type"], start["context_id"]) = ("start".into(), "a".into());
    send(&mut socket, start).await;
    let started = told(&mut socket).await;
    assert_eq!(started["type"], "started", "{started}");
    assert_warned(&started["warnings"], "context_segments[1].audio");

    let mut socket = connect(&app, "/ws?receipts=true").await;
    send(&mut socket, request()).await;
    worker.work(&app, 1).await;
    assert!(crate::sockets::next(&mut socket).await.is_binary());
    assert_warned(&told(&mut socket).await["input_warnings"], "context_segments[1].audio");
}

#[tokio::test]
async fn a_detection_names_the_field_of_its_file() {
    let app = TestApp::start().await;
    let path = "/v1/watermark/detect";
    let bare = app.send(app.request(Method::POST, path).body(cut_off())).await;
    assert_warned(&bare.body["warnings"], "(body)");
    let json = app.post(path, json!({"audio": encode(&cut_off())}).to_string()).await;
    assert_warned(&json.body["warnings"], "audio");
    let part = reqwest::multipart::Part::bytes(cut_off()).file_name("a.wav");
    let form = reqwest::multipart::Form::new().part("take", part);
    let form = app.send(app.request(Method::POST, path).multipart(form)).await;
    assert_warned(&form.body["warnings"], "take");
}
