//! Cartesia's API: refusals, limits, and a whole text in one request.

use csm_shared::job::{Failure, FailureClass, JobState, VoiceName};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::TestApp;
use crate::cartesia::{cancel_requested, last, open, piece};
use crate::openai::speak;
use crate::worker::TestWorker;

#[tokio::test]
async fn bad_messages_are_errors_that_name_the_field() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    let with = |more: Value| piece("", "Hello.", &more);
    let format = |more: Value| {
        let mut format = json!({"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000});
        format.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(json!({"output_format": format}))
    };
    for (number, (message, field)) in [
        (with(json!({"voice": {"mode": "id", "id": "nobody"}})), "voice.id"),
        (with(json!({"voice": "nobody"})), "voice.id"),
        (with(json!({"voice": {"mode": "embedding", "embedding": [1, 2]}})), "voice.mode"),
        (with(json!({"voice": {"mode": "id"}})), "voice.id"),
        (with(json!({"voice": {"mode": "id", "id": 7}})), "voice.id"),
        (with(json!({"voice": 7})), "voice"),
        (with(json!({"voice": null})), "voice"),
        (with(json!({"output_format": null})), "output_format"),
        (with(json!({"output_format": "raw"})), "output_format"),
        (format(json!({"container": "ogg"})), "output_format.container"),
        (format(json!({"container": "wav"})), "output_format.container"),
        (format(json!({"container": "mp3"})), "output_format.container"),
        (format(json!({"container": null})), "output_format.container"),
        (format(json!({"encoding": "pcm_mulaw"})), "output_format.encoding"),
        (format(json!({"encoding": null})), "output_format.encoding"),
        (format(json!({"sample_rate": 11_025})), "output_format.sample_rate"),
        (format(json!({"sample_rate": 24_000.5})), "output_format.sample_rate"),
        (format(json!({"sample_rate": "24000"})), "output_format.sample_rate"),
        (format(json!({"sample_rate": null})), "output_format.sample_rate"),
        (with(json!({"generation_config": 3})), "generation_config"),
        (with(json!({"generation_config": {"speed": 9}})), "generation_config.speed"),
        (with(json!({"generation_config": {"speed": "fast"}})), "generation_config.speed"),
        (with(json!({"transcript": null})), "transcript"),
        (with(json!({"transcript": ["Hello."]})), "transcript"),
        (with(json!({"transcript": "a".repeat(5_000)})), "transcript"),
        (with(json!({"continue": "yes"})), "continue"),
        (with(json!({"flush": 1})), "flush"),
        (with(json!({"cancel": "a"})), "cancel"),
        (with(json!({"add_timestamps": "yes"})), "add_timestamps"),
        (with(json!({"max_buffer_delay_ms": "0"})), "max_buffer_delay_ms"),
        (json!({"cancel": true}), "context_id"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = message;
        message["context_id"] = format!("c{number}").into();
        socket.send(message.clone()).await;
        let error = socket.told().await;
        assert_eq!((&error["type"], &error["field"]), (&json!("error"), &json!(field)), "{message} {error}");
        assert_eq!((&error["context_id"], &error["status_code"]), (&message["context_id"], &json!(400)), "{error}");
        let text = error["message"].as_str().unwrap();
        assert!(text.starts_with(field) && error["limit"].is_string() && error["value"].is_string(), "{error}");
        assert!(error["error"].as_str().unwrap().ends_with(text), "{error}");
    }
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "nothing of it is spoken");
}

#[tokio::test]
async fn unreadable_messages_are_errors_and_in_the_end_a_close() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    let texts = ["{", "[]", "7", "\"a\"", "{}", r#"{"context_id": 5}"#, r#"{"context_id": ""}"#];
    for text in texts {
        socket.send_raw(text.into()).await;
        let error = socket.told().await;
        assert_eq!(
            (&error["type"], &error["context_id"]),
            (&json!("error"), &Value::Null),
            "{text}: Pipecat reads both"
        );
        assert_eq!(error["done"], false);
    }
    socket.send(json!({"context_id": "a".repeat(129), "transcript": "a"})).await;
    assert_eq!(socket.told().await["limit"], "1 to 128 bytes");
    socket.send_raw(Message::Binary(vec![0, 255].into())).await;
    assert_eq!(socket.told().await["value"], "(binary)");
    for _ in texts.len() + 2..20 {
        socket.send_raw("{".into()).await;
        assert_eq!(socket.told().await["type"], "error");
    }
    socket.send_raw("{".into()).await;
    assert_eq!(socket.next().await, Err(1008));
}

#[tokio::test]
async fn an_error_ends_its_context_so_that_no_text_goes_missing() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for (context, bad) in [
        ("voice", json!({"voice": "echo"})),
        ("text", json!({"transcript": "a".repeat(5_000)})),
        ("rate", json!({"output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8_000}})),
    ] {
        socket.send(piece(context, "Hello there. ", &json!({"max_buffer_delay_ms": 0}))).await;
        let job = TestWorker::new().claim(&app).await;
        socket.send(piece(context, "More.", &bad)).await;
        assert_eq!(socket.told().await["type"], "error");
        cancel_requested(&app, &job).await;
        socket.send(last(context, "Rest.")).await;
        assert!(socket.told().await["limit"].as_str().unwrap().contains("has ended"));
        assert_ne!(app.record(&job.lease.at().id).await.state, JobState::Succeeded);
    }
    socket.send(last("late", "Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    socket.send(last("late", "More.")).await;
    assert!(socket.told().await["limit"].as_str().unwrap().contains("last text has come"));
    cancel_requested(&app, &job).await;
}

#[tokio::test]
async fn contexts_and_waiting_text_have_limits() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for number in 0..32 {
        socket.send(piece(&format!("c{number}"), "Not whole", &json!({}))).await;
    }
    socket.send(piece("one-more", "Not whole", &json!({}))).await;
    let error = socket.told().await;
    assert_eq!((&error["context_id"], &error["limit"]), (&json!("one-more"), &json!("0 to 32 contexts in progress")));
    socket.send(json!({"context_id": "c0", "cancel": true})).await;
    socket.send(last("one-more", "Rest.")).await;
    assert_eq!(socket.told().await["context_id"], "one-more", "its first part was refused");
    for _ in 0..11 {
        socket.send(piece("new", &"A very long text. ".repeat(570), &json!({}))).await;
    }
    let error = socket.told().await;
    assert_eq!((&error["context_id"], &error["limit"]), (&json!("new"), &json!("0 to 100000 characters that wait")));
}

#[tokio::test]
async fn a_whole_text_is_one_answer() {
    let app = TestApp::start().await;
    for (container, encoding, rate, media_type, length) in [
        ("raw", "pcm_s16le", 24_000, "audio/pcm", 3 * 3_840),
        ("raw", "pcm_f32le", 24_000, "audio/pcm", 3 * 7_680),
        ("raw", "pcm_s16le", 8_000, "audio/pcm", 3 * 1_280),
        ("wav", "pcm_s16le", 24_000, "audio/wav", 44 + 3 * 3_840),
        ("mp3", "pcm_s16le", 24_000, "audio/mpeg", 0),
    ] {
        let body = json!({
            "model_id": "sonic-3", "transcript": "Hello.", "voice": {"mode": "id", "id": "nova"},
            "output_format": {"container": container, "encoding": encoding, "sample_rate": rate, "bit_rate": 128_000},
        });
        let request = app.request(Method::POST, "/tts/bytes").header("cartesia-version", "2025-04-16").json(&body);
        let worker = async {
            let job = TestWorker::new().claim(&app).await;
            assert_eq!(job.spec.voice, Some(VoiceName::Nova));
            speak(&app, job, 3).await;
        };
        let ((), answer) = tokio::join!(worker, async { request.send().await.unwrap() });
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
        let heard = answer.bytes().await.unwrap();
        assert!(heard.len() == length || (length == 0 && heard.len().is_multiple_of(288)), "{container} {encoding}");
    }
}

#[tokio::test]
async fn a_refused_request_has_the_shape_that_clients_read() {
    let app = TestApp::start().await;
    let body = |more: Value| {
        let mut body = json!({
            "model_id": "sonic-3", "transcript": "Hello.", "voice": "nova",
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let wav =
        |encoding: &str| json!({"output_format": {"container": "wav", "encoding": encoding, "sample_rate": 24_000}});
    for (body, status, field) in [
        (body(json!({"voice": "nobody"})), 400, "voice.id"),
        (body(json!({"transcript": ""})), 400, "transcript"),
        (body(json!({"transcript": "a".repeat(100_001)})), 400, "transcript"),
        (body(json!({"transcript": null})), 400, "transcript"),
        (body(json!({"output_format": {}})), 400, "output_format.container"),
        (body(wav("pcm_f32le")), 400, "output_format.encoding"),
        (body(json!({"output_format": {"container": "mp3", "sample_rate": 8_000}})), 400, "output_format.sample_rate"),
        ("{".to_owned(), 400, "(body)"),
        ("[1]".to_owned(), 400, "(body)"),
    ] {
        let answer = app.post("/tts/bytes", body).await;
        let found = (answer.status.as_u16(), answer.text("field"), answer.body["status_code"].as_u64());
        assert_eq!(found, (status, field, Some(status.into())), "{}", answer.body);
        assert!(answer.text("message").starts_with(field) && !answer.text("title").is_empty(), "{}", answer.body);
        assert_eq!(answer.text("request_id"), answer.header("x-request-id"));
    }
    let unannounced = app.send(app.request(Method::POST, "/tts/bytes").body(body(json!({})))).await;
    assert_eq!((unannounced.status.as_u16(), unannounced.text("field")), (415, "Content-Type"));
    assert_eq!(app.get("/tts/websocket").await.text("error_code"), "websocket_required");
    let worker = async {
        let job = TestWorker::new().claim(&app).await;
        TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "no memory")).await;
    };
    let ((), failed) = tokio::join!(worker, app.post("/tts/bytes", body(json!({}))));
    assert_eq!((failed.status.as_u16(), failed.text("error_code")), (502, "job_failed"));
}
