//! Bad input: each is an error with field, value and limit, which ends its context and no other.

use csm_shared::job::JobState;
use reqwest::Method;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::nonsense::{
    BadMessage, PART, assert_frames_refused, assert_many, assert_named, assert_refused, bad, no_objects,
};
use crate::sockets::close_code_behind;

/// Messages that are refused on a socket. Each has a context of its own.
fn bad_messages() -> Vec<BadMessage> {
    let with = |more: Value, refusal| bad(piece("", "Hello.", &more), refusal);
    let voice = |voice: Value, refusal| with(json!({"voice": voice}), refusal);
    let format = |more: Value, refusal| {
        let mut format = json!({"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000});
        format.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(json!({"output_format": format}), refusal)
    };
    let speed = |speed: Value, refusal| with(json!({"generation_config": {"speed": speed}}), refusal);
    vec![
        voice(json!({"mode": "id", "id": "nobody"}), "voice.id: nobody is not one of alloy, ash"),
        voice(json!("nobody"), "voice.id: nobody is not one of alloy"),
        voice(json!(""), "voice.id: (empty) is not one of alloy"),
        voice(json!({"mode": "embedding", "embedding": [1, 2]}), "voice.mode: embedding is not id"),
        voice(json!({"mode": 5, "id": "ash"}), "voice.mode: 5 is not a string"),
        voice(json!({"mode": "id"}), "voice.id: (missing) is not one of alloy"),
        voice(json!({"mode": "id", "id": 7}), "voice.id: 7 is not a string"),
        voice(json!(7), "voice: 7 is not an object"),
        voice(json!(["ash"]), "voice: [\"ash\"] is not an object"),
        voice(json!(null), "voice: (missing) is not one of alloy"),
        with(json!({"output_format": null}), "output_format: (missing) is not an object"),
        with(json!({"output_format": "raw"}), "output_format: \"raw\" is not an object"),
        with(json!({"output_format": {}}), "output_format.container: (missing) is not raw, wav or mp3"),
        format(json!({"container": "ogg"}), "output_format.container: ogg is not raw, wav or mp3"),
        format(json!({"container": "wav"}), "output_format.container: wav is not raw on a socket"),
        format(json!({"container": "mp3"}), "output_format.container: mp3 is not raw on a socket"),
        format(json!({"container": null}), "output_format.container: (missing) is not raw, wav or mp3"),
        format(json!({"container": 5}), "output_format.container: 5 is not a string"),
        format(json!({"encoding": "pcm_mulaw"}), "output_format.encoding: pcm_mulaw is not pcm_s16le or pcm_f32le"),
        format(json!({"encoding": null}), "output_format.encoding: (missing) is not pcm_s16le or pcm_f32le"),
        format(json!({"encoding": ["pcm_s16le"]}), "output_format.encoding: [\"pcm_s16le\"] is not a string"),
        format(json!({"sample_rate": 11_025}), "output_format.sample_rate: 11025 is not one of 8000"),
        format(json!({"sample_rate": 24_000.5}), "output_format.sample_rate: 24000.5 is not one of 8000"),
        format(json!({"sample_rate": -24_000}), "output_format.sample_rate: -24000 is not one of 8000"),
        format(json!({"sample_rate": "24000"}), "output_format.sample_rate: \"24000\" is not a number"),
        format(json!({"sample_rate": null}), "output_format.sample_rate: (missing) is not one of 8000"),
        with(json!({"generation_config": 3}), "generation_config: 3 is not an object"),
        with(json!({"generation_config": [1.5]}), "generation_config: [1.5] is not an object"),
        speed(json!(9), "generation_config.speed: 9 is not allowed; the limit is 0.25 to 4"),
        speed(json!(0), "generation_config.speed: 0 is not allowed"),
        speed(json!(1e308), "generation_config.speed: 10000"),
        speed(json!("fast"), "generation_config.speed: \"fast\" is not a number"),
        with(json!({"transcript": null}), "transcript: (missing) is not a string"),
        with(json!({"transcript": 5}), "transcript: 5 is not a string"),
        with(json!({"transcript": ["Hello."]}), "transcript: [\"Hello.\"] is not a string"),
        with(json!({"transcript": {"text": "Hello."}}), "transcript: {\"text\":\"Hello.\"} is not a string"),
        with(json!({"transcript": "a".repeat(5_000)}), "transcript: a sentence of 5000 characters is not allowed"),
        with(json!({"continue": "yes"}), "continue: \"yes\" is not true or false"),
        with(json!({"continue": 0}), "continue: 0 is not true or false"),
        with(json!({"flush": 1}), "flush: 1 is not true or false"),
        with(json!({"cancel": "a"}), "cancel: \"a\" is not true or false"),
        with(json!({"cancel": []}), "cancel: [] is not true or false"),
        with(json!({"add_timestamps": "yes"}), "add_timestamps: \"yes\" is not true or false"),
        with(json!({"max_buffer_delay_ms": "0"}), "max_buffer_delay_ms: \"0\" is not a number"),
        with(json!({"max_buffer_delay_ms": -1}), "max_buffer_delay_ms: -1 is not a number from 0"),
        bad(json!({"cancel": true}), "is not a context in progress"),
    ]
}

/// Messages without a name of a context that could be read.
fn nameless() -> Vec<BadMessage> {
    let named = |id: Value, refusal| bad(json!({"context_id": id, "transcript": "Hello."}), refusal);
    vec![
        bad(json!({}), "context_id: (missing) is not a string"),
        named(json!(null), "context_id: (missing) is not a string"),
        named(json!(5), "context_id: 5 is not a string"),
        named(json!(["a"]), "context_id: [\"a\"] is not a string"),
        named(json!(""), "context_id: a name of 0 bytes is not allowed; the limit is 1 to 128 bytes"),
        named(json!("a".repeat(129)), "context_id: a name of 129 bytes is not allowed; the limit is 1 to 128 bytes"),
        named(json!("ä".repeat(65)), "context_id: a name of 130 bytes is not allowed"),
    ]
}

/// Returns the text of an error that has all its members, and is no end.
fn refusal(message: &Message, error: &Value) -> String {
    assert_eq!((&error["type"], &error["done"]), (&json!("error"), &json!(false)), "{error}");
    assert_eq!(error["status_code"], 400, "{error}");
    let asked = message.to_text().ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let id = asked.map_or(Value::Null, |asked| asked["context_id"].clone());
    let is_name = id.as_str().is_some_and(|id| id.starts_with("case"));
    assert_eq!(error["context_id"], if is_name { id } else { Value::Null }, "{error}: Pipecat reads it");
    let member = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("no {name} in {error}"));
    assert_named(member("message"), ["field", "value", "limit"].map(member));
    assert_eq!(member("error"), format!("{}: {}", member("title"), member("message")));
    assert!(["malformed", "out_of_range"].contains(&member("error_code")), "{error}");
    member("message").to_owned()
}

/// Gives a message the context `case` and a number.
fn with_context((number, mut bad): (usize, BadMessage)) -> BadMessage {
    let mut message: Value = serde_json::from_str(bad.message.to_text().unwrap()).unwrap();
    message["context_id"] = format!("case {number}").into();
    bad.message = Message::Text(message.to_string().into());
    bad
}

#[tokio::test]
async fn bad_messages_are_errors_that_name_the_field_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let own = bad_messages().into_iter().enumerate().map(with_context);
    let cases: Vec<_> = own.chain(nameless()).chain(no_objects()).collect();
    assert_many(&cases);
    for part in cases.chunks(PART) {
        let mut socket = open(&app).await;
        socket.send(piece("kept", "Still", &json!({}))).await;
        assert_refused(&mut socket.0, part, refusal).await;
        socket.send(last("kept", " here.")).await;
        let job = TestWorker::new().claim(&app).await;
        assert_eq!(job.spec.text.as_str(), "Still here.");
        let ((), messages) = tokio::join!(speak(&app, job, 1), until_done(&mut socket, "kept"));
        assert_eq!(decoded(&messages, "data"), bytes(&tone(FRAME_SAMPLES)));
    }
    let mut socket = open(&app).await;
    for _ in 0..21 {
        socket.send_raw("{".into()).await;
    }
    assert_eq!(close_code_behind(&mut socket.0).await, 1008);
}

#[tokio::test]
async fn frames_against_the_rules_are_closed_with_a_code() {
    let app = TestApp::start().await;
    assert_frames_refused(&app, PATH).await;
    let mut socket = open(&app).await;
    socket.send(last("a", "")).await;
    assert_eq!(socket.told().await["type"], "done");
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
        (body(json!({"voice": null})), 400, "voice"),
        (body(json!({"voice": 7})), 400, "voice"),
        (body(json!({"generation_config": {"speed": 9}})), 400, "generation_config.speed"),
        (body(json!({"generation_config": "fast"})), 400, "generation_config"),
        (body(json!({"transcript": 5})), 400, "transcript"),
        (body(json!({"transcript": ""})), 400, "transcript"),
        (body(json!({"transcript": "a".repeat(100_001)})), 400, "transcript"),
        (body(json!({"transcript": null})), 400, "transcript"),
        (body(json!({"output_format": {}})), 400, "output_format.container"),
        (body(wav("pcm_f32le")), 400, "output_format.encoding"),
        (body(json!({"output_format": {"container": "mp3", "sample_rate": 8_000}})), 400, "output_format.sample_rate"),
        ("{".to_owned(), 400, "(body)"),
        ("[1]".to_owned(), 400, "(body)"),
        (String::new(), 400, "(body)"),
        ("null".to_owned(), 400, "(body)"),
        (body(json!({"transcript": "a".repeat(600_000)})), 413, "(body)"),
    ] {
        let answer = app.post("/tts/bytes", body).await;
        let found = (answer.status.as_u16(), answer.text("field"), answer.body["status_code"].as_u64());
        assert_eq!(found, (status, field, Some(status.into())), "{}", answer.body);
        assert_named(answer.text("message"), ["field", "value", "limit"].map(|name| answer.text(name)));
        assert!(!answer.text("title").is_empty(), "{}", answer.body);
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
