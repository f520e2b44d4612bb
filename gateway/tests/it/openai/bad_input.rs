//! Bad input: each request is refused in OpenAI's shape, with its field, value and limit.

use super::*;
use crate::app::TestResponse;
use crate::nonsense::CASES_MIN;
use crate::speech::segment;

/// Request that is refused: body, status, field, and a part of the message.
struct BadRequest {
    body: Vec<u8>,
    status: u16,
    param: &'static str,
    message: &'static str,
}

/// Makes a case of members beside `input`. The field is what the message begins with.
#[expect(clippy::needless_pass_by_value, reason = "rows of a table are read without borrows")]
fn with(more: Value, message: &'static str) -> BadRequest {
    let mut body = json!({"input": "Hi."});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let status = if message.starts_with("model: ") && !message.ends_with("a string") { 404 } else { 400 };
    let param = message.split(": ").next().unwrap();
    BadRequest { body: body.to_string().into_bytes(), status, param, message }
}

/// Makes a case of a body that cannot be read.
fn raw(body: impl Into<Vec<u8>>, param: &'static str, message: &'static str) -> BadRequest {
    BadRequest { body: body.into(), status: 400, param, message }
}

/// Bodies with a wrong text, voice, model or form of the answer.
fn bad_speech() -> Vec<BadRequest> {
    vec![
        with(json!({"input": null}), "input: (missing) is not 1 to 100000 characters"),
        with(json!({"input": 5}), "input: 5 is not a string"),
        with(json!({"input": ["Hi."]}), "input: [\"Hi.\"] is not a string"),
        with(json!({"input": {"text": "Hi."}}), "input: {\"text\":\"Hi.\"} is not a string"),
        with(json!({"input": ""}), "input: \"\" (blank) is not allowed; the limit is 1 to 100000 characters"),
        with(json!({"input": " \n"}), "input: \" \\n\" (blank) is not allowed"),
        with(json!({"input": "\u{200b}"}), "input: \"\\u{200b}\" (blank) is not allowed"),
        with(json!({"input": "a".repeat(100_001)}), "input: aaaa"),
        with(json!({"voice": "nobody"}), "voice: nobody is not one of alloy, ash"),
        with(json!({"voice": ""}), "voice: (empty) is not one of alloy"),
        with(json!({"voice": 7}), "voice: 7 is not"),
        with(json!({"voice": ["ash"]}), "voice: [\"ash\"] is not"),
        with(json!({"voice": {"id": 7}}), "voice.id: 7 is not a string"),
        with(json!({"voice": {"name": "ash"}}), "voice.id: (missing) is not a string"),
        with(json!({"voice": {"id": "nobody"}}), "voice: nobody is not one of alloy"),
        with(json!({"model": "whisper-1"}), "model: whisper-1 is not one of model, csm-1b"),
        with(json!({"model": ""}), "model: (empty) is not one of model, csm-1b"),
        with(json!({"model": 1}), "model: 1 is not a string"),
        with(json!({"model": "m".repeat(5_000)}), "model: mmmm"),
        with(json!({"response_format": "aac"}), "response_format: aac is not mp3, opus, flac, wav or pcm"),
        with(json!({"response_format": "MP3"}), "response_format: MP3 is not mp3"),
        with(json!({"response_format": ""}), "response_format: (empty) is not mp3"),
        with(json!({"response_format": 3}), "response_format: 3 is not a string"),
        with(json!({"stream_format": "smoke"}), "stream_format: smoke is not audio or sse"),
        with(json!({"stream_format": true}), "stream_format: true is not a string"),
        with(json!({"sample_rate": 11_025}), "sample_rate: 11025 is not one of"),
        with(
            json!({"sample_rate": 8_000, "response_format": "flac"}),
            "sample_rate: 8000 is not one of 24000 for flac",
        ),
        with(json!({"sample_rate": "24000"}), "sample_rate: \"24000\" is not a whole number"),
        with(json!({"sample_rate": -1}), "sample_rate: -1 is not one of"),
        with(json!({"instructions": ["calm"]}), "instructions: [\"calm\"] is not a string"),
        with(json!({"speed": 9}), "speed: 9 is not allowed; the limit is 0.25 to 4"),
        with(json!({"speed": 0}), "speed: 0 is not allowed"),
        with(json!({"speed": 1e308}), "speed: 1000"),
        with(json!({"speed": "fast"}), "speed: \"fast\" is not a number"),
        with(json!({"speed": {}}), "speed: {} is not a number"),
    ]
}

/// Bodies with another wrong field.
fn bad_fields() -> Vec<BadRequest> {
    let turn = |audio: &str| json!({"context_segments": [{"text": "a", "audio": audio}]});
    vec![
        with(json!({"temperature": 2.1}), "temperature: 2.1 is not allowed; the limit is 0 (greedy) to 2"),
        with(json!({"temperature": -1}), "temperature: -1 is not allowed"),
        with(json!({"temperature": "NaN"}), "temperature: \"NaN\" is not a number"),
        with(json!({"topk": 0}), "topk: 0 is not allowed; the limit is 1 to 2048 codes"),
        with(json!({"topk": 1.5}), "topk: 1.5 is not a whole number"),
        with(json!({"top_k": "fifty"}), "top_k: \"fifty\" is not a whole number"),
        with(json!({"seed": -1}), "seed: -1 is not a whole number from 0 to 18446744073709551615"),
        with(json!({"seed": 1e300}), "seed: 1e+300 is not a whole number"),
        with(json!({"seed": "a"}), "seed: \"a\" is not a whole number"),
        with(json!({"normalize": 1}), "normalize: 1 is not true or false"),
        with(json!({"lane": "fast"}), "lane: fast is not live, standard or bulk"),
        with(json!({"lane": 1}), "lane: 1 is not a string"),
        with(json!({"speaker": 10}), "speaker: 10 is not allowed; the limit is 0 to 9"),
        with(json!({"speaker": "one"}), "speaker: \"one\" is not a whole number"),
        with(json!({"max_audio_length_ms": 1}), "max_audio_length_ms: 1 is not allowed; the limit is 80 to 600000 ms"),
        with(json!({"max_audio_length_ms": 600_001}), "max_audio_length_ms: 600001 is not allowed"),
        with(json!({"max_audio_length_ms": "10 s"}), "max_audio_length_ms: \"10 s\" is not a whole number"),
        with(
            json!({"input": "Hi. ".repeat(2_000), "max_audio_length_ms": 10_000}),
            "max_audio_length_ms: 10000 is not absent for a text of more than 4096 characters",
        ),
        with(json!({"context_segments": "none"}), "context_segments: \"none\" is not a list"),
        with(json!({"context_segments": [5]}), "context_segments[0]: 5 is not a JSON object"),
        with(json!({"context_segments": [{"audio": "AAAA"}]}), "context_segments[0].text: (missing) is not 1 to 4096"),
        with(json!({"context_segments": [{"text": "a"}]}), "context_segments[0].audio: (missing) is not base64"),
        with(turn("no base64!"), "context_segments[0].audio: no base64! is not base64"),
        with(turn("aGVsbG8sIHRoaXMgaXMgdGV4dA=="), "context_segments[0].audio: aGVsbG8s"),
        with(
            json!({"context_segments": vec![json!({}); 33]}),
            "context_segments: 33 is not allowed; the limit is 0 to 32",
        ),
    ]
}

/// Bodies that cannot be read.
fn bad_bodies() -> Vec<BadRequest> {
    let json = " is not JSON (";
    vec![
        raw("", "(body)", json),
        raw("{", "(body)", json),
        raw("Hello there.", "(body)", json),
        raw("input=Hello&voice=ash", "(body)", json),
        raw(r#"{"input": "Hi.",}"#, "(body)", json),
        raw(r#"{"input": "Hi."} {}"#, "(body)", json),
        raw("{'input': 'Hi.'}", "(body)", json),
        raw(r#"{"input": NaN}"#, "input", json),
        raw(r#"{"input": "Hi.", "speed": 1e999}"#, "speed", json),
        raw(r#"{"input": "\ud83d"}"#, "input", json),
        raw("{\"input\": \"a\nb\"}", "input", json),
        raw(b"{\"input\": \"\xc3\"}".to_vec(), "input", json),
        raw(vec![0xff; 1_000], "(body)", json),
        raw("[".repeat(10_000), "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]", "more than 16 levels"),
        raw("[]", "(body)", "(body): [] is not a JSON object"),
        raw("null", "(body)", "(body): null is not a JSON object"),
        raw("\"Hi.\"", "(body)", "(body): \"Hi.\" is not a JSON object"),
        raw(
            json!((0..200).map(|number| (format!("f{number}"), number)).collect::<std::collections::BTreeMap<_, _>>())
                .to_string(),
            "(body)",
            "(body): 200 fields is not a JSON object of at most 128 fields",
        ),
    ]
}

/// Asserts that a document has the shape of OpenAI's errors, and names the field.
fn assert_shape(answer: &TestResponse, case: &BadRequest) {
    let about = format!("{:.300}: {}", String::from_utf8_lossy(&case.body), answer.body);
    let error = &answer.body["error"];
    assert_eq!((answer.status.as_u16(), answer.header("x-should-retry")), (case.status, "false"), "{about}");
    assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!(case.param)), "{about}");
    let code = if case.status == 404 { "model_not_found" } else { error["code"].as_str().unwrap() };
    assert_eq!(error["code"], code, "{about}");
    assert!(["malformed", "out_of_range", "model_not_found"].contains(&code), "{about}");
    assert_eq!(error["request_id"], answer.header("x-request-id"), "{about}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("{}: ", case.param)) && message.contains(case.message), "{about}");
    assert!(message.contains(" is not ") && message.chars().count() < 600, "{about}");
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_shape_that_clients_read() {
    let app = TestApp::start().await;
    let cases: Vec<_> = bad_speech().into_iter().chain(bad_fields()).chain(bad_bodies()).collect();
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    for case in &cases {
        let request = app.request(Method::POST, "/v1/audio/speech").header("content-type", "application/json");
        assert_shape(&app.send(request.body(case.body.clone())).await, case);
    }
    assert_eq!(app.depth().await, 0, "nothing of it is spoken");
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 1).await };
    let ((), answer) = tokio::join!(worker, ask(&app, json!({"input": "Still here.", "response_format": "pcm"})));
    assert_eq!(answer.bytes().await.unwrap(), bytes(&tone(FRAME_SAMPLES)));
}

#[tokio::test]
async fn bad_headers_and_sizes_are_refused_in_the_same_shape() {
    let app = TestApp::start().await;
    let body = json!({"input": "Hi."});
    for (name, value, status, field) in [
        ("content-type", "text/plain", 415, "Content-Type"),
        ("content-type", "application/x-www-form-urlencoded", 415, "Content-Type"),
        ("content-type", "application/jsonp", 415, "Content-Type"),
        ("idempotency-key", "", 400, "Idempotency-Key"),
        ("idempotency-key", "two words", 400, "Idempotency-Key"),
        ("x-tenant", "no/such", 400, "X-Tenant"),
        ("x-tenant", "", 400, "X-Tenant"),
    ] {
        let kind = if name == "content-type" { value } else { "application/json" };
        let request = app.request(Method::POST, "/v1/audio/speech").body(body.to_string()).header("content-type", kind);
        let request = if name == "content-type" { request } else { request.header(name, value) };
        let answer = app.send(request).await;
        let error = &answer.body["error"];
        assert_eq!((answer.status.as_u16(), &error["param"]), (status, &json!(field)), "{name}: {value}: {error}");
        assert!(error["message"].as_str().unwrap().starts_with(&format!("{field}: ")), "{error}");
    }
    let context: Vec<_> = (0..2).map(|_| segment(1_000)).collect();
    let long = ask(&app, json!({"input": "Hi.", "context_segments": context})).await;
    assert_eq!(long.status(), 413);
    assert_eq!(long.json::<Value>().await.unwrap()["error"]["code"], "too_large");
    let huge = app.request(Method::POST, "/v1/audio/speech").body(vec![b'x'; 25 << 20]);
    let huge = app.send(huge.header("content-type", "application/json")).await;
    assert_eq!((huge.status.as_u16(), &huge.body["error"]["param"]), (413, &json!("(body)")));
    assert_eq!(app.depth().await, 0);
}
