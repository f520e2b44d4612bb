//! Wrong requests: each is answered with field, value and limit, and no job enters a lane.

use std::collections::BTreeMap;

use futures::stream;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{TestApp, TestResponse};
use crate::speech::segment;
use csm_testing::byte_model::MAX_POSITIONS;

struct Case {
    name: &'static str,
    body: String,
    status: u16,
    field: &'static str,
}

fn case(name: &'static str, status: u16, field: &'static str, body: impl Into<String>) -> Case {
    Case { name, body: body.into(), status, field }
}

fn cases() -> Vec<Case> {
    let with_audio = |audio: &str| json!({"text": "a", "context_segments": [segment(1), {"text": "b", "speaker": 1, "audio": audio}]});
    let with = |field: &str, value: Value| {
        let mut body = json!({"text": "a"});
        body[field] = value;
        body.to_string()
    };
    vec![
        case("empty_text", 422, "text", r#"{"text": ""}"#),
        case("no_text", 422, "text", "{}"),
        case("long_text", 422, "text", with("text", "a".repeat(4_097).into())),
        case("context_beyond_window", 422, "context_segments", {
            let text = "a".repeat(200);
            json!({"text": text, "max_audio_length_ms": 90_000, "context_segments": [segment(800)]}).to_string()
        }),
        case("speaker_out_of_range", 422, "speaker", with("speaker", 10.into())),
        case("nan_temperature", 400, "temperature", r#"{"text": "a", "temperature": NaN}"#),
        case("nan_temperature_as_text", 422, "temperature", with("temperature", "NaN".into())),
        case("infinite_temperature", 400, "temperature", r#"{"text": "a", "temperature": 1e999}"#),
        case("hot_temperature", 422, "temperature", with("temperature", json!(2.1))),
        case("topk_zero", 422, "topk", with("topk", 0.into())),
        case("topk_beyond_codebook", 422, "topk", with("topk", 2_049.into())),
        case("too_long_audio", 422, "max_audio_length_ms", with("max_audio_length_ms", 600_001.into())),
        case("broken_base64", 422, "context_segments[1].audio", with_audio("not base64!").to_string()),
        case("not_a_wav", 422, "context_segments[1].audio", with_audio("aGVsbG8sIHRoaXMgaXMgdGV4dA==").to_string()),
        case("wrong_type_of_text", 422, "text", with("text", json!(["a"]))),
        case("wrong_type_of_topk", 422, "topk", with("topk", "fifty".into())),
        case("wrong_type_of_context", 422, "context_segments", with("context_segments", "none".into())),
        case("not_an_object", 422, "(body)", "[]"),
        case("broken_json", 400, "speaker", r#"{"text": "a", "speaker": }"#),
        case("no_body", 400, "(body)", ""),
    ]
}

fn check(case: &Case, path: &str, answer: &TestResponse) {
    let about = format!("{} on {path}: {}", case.name, answer.body);
    assert_eq!(answer.status.as_u16(), case.status, "{about}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{about}");
    assert_eq!(answer.text("field"), case.field, "{about}");
    assert!(!answer.text("value").is_empty() && !answer.text("limit").is_empty(), "{about}");
    assert!(answer.text("value").chars().count() < 120, "shown values are cut: {about}");
}

#[tokio::test]
async fn bad_requests_name_field_value_and_limit_and_reach_no_lane() {
    let app = TestApp::start().await;
    let mut bodies = BTreeMap::new();
    for case in cases() {
        for path in ["/generate", "/v1/jobs"] {
            let answer = app.post(path, case.body.as_str()).await;
            check(&case, path, &answer);
            bodies.insert(case.name, answer.body);
        }
    }
    insta::assert_json_snapshot!("bad_requests", bodies, {".*.request_id" => "[id]"});
    assert_eq!(app.depth().await, 0, "no lane grew");
}

#[tokio::test]
async fn only_the_native_route_refuses_unknown_fields() {
    let app = TestApp::start().await;
    let answer = app.post("/v1/jobs", r#"{"text": "a", "tempo": 2}"#).await;
    assert_eq!((answer.status.as_u16(), answer.text("field"), answer.text("value")), (422, "tempo", "2"));
    assert_eq!(app.depth().await, 0);
}

/// Returns a request with a context of 1400 frames and `letters` letters, and the context's
/// positions.
///
/// The positions are those of the letters, "[1]", two control tokens, the frames, and their end.
fn with_context(text: &str, letters: usize) -> (String, usize) {
    let mut turn = segment(1_400);
    turn["text"] = "b".repeat(letters).into();
    (json!({"text": text, "context_segments": [turn]}).to_string(), letters + 5 + 1_401)
}

/// Posts `text` with a context that leaves exactly `need` positions, then with one that leaves one
/// position less.
async fn full_then_too_full(text: &str, need: usize) -> TestResponse {
    let app = TestApp::start().await;
    let letters = MAX_POSITIONS - need - (5 + 1_401);
    let (body, positions) = with_context(text, letters);
    assert_eq!(positions + need, MAX_POSITIONS);
    let answer = app.post("/v1/jobs", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let answer = app.post("/v1/jobs", with_context(text, letters + 1).0).await;
    assert_eq!((answer.text("field"), answer.text("code")), ("context_segments", "window_exceeded"));
    assert_eq!(answer.text("limit"), "2048 positions");
    assert_eq!(app.depth().await, 1);
    answer
}

#[tokio::test]
async fn both_numbers_of_a_full_window_are_named() {
    // "[0]a" and two control tokens, and 125 frames.
    let answer = full_then_too_full("a", 6 + 125).await;
    assert!(answer.text("value").contains("1924 prompt positions + 125 frames"), "{}", answer.body);
}

#[tokio::test]
async fn a_long_text_is_measured_sentence_by_sentence() {
    let sentence = "A sentence of some length, which is one of very many in this text of ours.";
    // 100 ms for each byte and 2 s.
    let frames = (sentence.len() * 100 + 2_000) / 80;
    let answer = full_then_too_full(&[sentence; 50].join(" "), sentence.len() + 5 + frames).await;
    let numbers = format!("{} prompt positions + {frames} frames", MAX_POSITIONS + 1 - frames);
    assert!(answer.text("value").contains(&numbers), "{}", answer.body);
}

const HUGE: usize = 60 * 1024 * 1024;

#[tokio::test]
async fn a_huge_body_is_refused_before_it_is_read() {
    let app = TestApp::start().await;
    let announced = app.post("/generate", "x".repeat(HUGE)).await;
    assert_eq!((announced.status.as_u16(), announced.text("code")), (413, "too_large"));
    assert_eq!(announced.text("value"), format!("Content-Length {HUGE}"));
    assert_eq!(announced.text("limit"), "0 to 25165824 bytes");

    let chunks = stream::iter((0..60).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024 * 1024])));
    let request = app.request(Method::POST, "/v1/jobs").body(Body::wrap_stream(chunks));
    let streamed = app.send(request).await;
    assert_eq!((streamed.status.as_u16(), streamed.text("field")), (413, "(body)"));
    assert_eq!(streamed.text("value"), "more than 25165824 bytes");
    assert_eq!(app.depth().await, 0);
}

/// Sends the whole body before the answer is read, as many simple clients do.
#[tokio::test]
async fn who_sends_a_huge_body_to_its_end_still_reads_the_answer() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!("POST /generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: {HUGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; HUGE]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("0 to 25165824 bytes"), "{answer}");
}

#[tokio::test]
async fn a_wait_out_of_range_is_refused() {
    let app = TestApp::start().await;
    let id = app.submit(r#"{"text": "a"}"#).await;
    for wait in ["61", "-1", "soon", "1.5"] {
        let answer = app.get(&format!("/v1/jobs/{id}?wait={wait}")).await;
        assert_eq!((answer.status.as_u16(), answer.text("field"), answer.text("value")), (422, "wait", wait));
        assert_eq!(answer.text("limit"), "0 to 60 s");
    }
}
