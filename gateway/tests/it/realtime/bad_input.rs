//! Bad input: each event is an error that names the field, and the session goes on.

use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::nonsense::{BadMessage, PART, assert_frames_refused, assert_many, assert_refused, bad, no_objects};
use crate::sockets::close_code_behind;

/// Settings that are refused.
fn bad_updates() -> Vec<BadMessage> {
    let update = |session: Value, refusal| bad(json!({"type": "session.update", "session": session}), refusal);
    let output = |output: Value, refusal| update(json!({"audio": {"output": output}}), refusal);
    let modalities = |modalities: Value, refusal| update(json!({"output_modalities": modalities}), refusal);
    vec![
        bad(json!({"type": "session.update"}), "session: (missing) is not an object"),
        bad(json!({"type": "session.update", "session": null}), "session: (missing) is not an object"),
        update(json!("realtime"), "session: \"realtime\" is not an object"),
        update(json!([]), "session: [] is not an object"),
        update(json!({"type": "transcription"}), "session.type: transcription is not realtime"),
        update(json!({"type": 5}), "session.type: 5 is not a string"),
        modalities(json!(["text"]), "session.output_modalities: [\"text\"] is not [\"audio\"]"),
        modalities(json!(["audio", "text"]), "session.output_modalities: [\"audio\",\"text\"] is not [\"audio\"]"),
        modalities(json!([]), "session.output_modalities: [] is not [\"audio\"]"),
        modalities(json!("audio"), "session.output_modalities: \"audio\" is not a list of strings"),
        modalities(json!([1]), "session.output_modalities: [1] is not a list of strings"),
        update(json!({"audio": 1}), "session.audio: 1 is not an object"),
        update(json!({"audio": {"output": []}}), "session.audio.output: [] is not an object"),
        output(json!({"voice": "nobody"}), "session.audio.output.voice: nobody is not one of alloy, ash"),
        output(json!({"voice": ""}), "session.audio.output.voice: (empty) is not one of alloy, ash"),
        output(json!({"voice": 1}), "session.audio.output.voice: 1 is not a string, or an object with an id"),
        output(json!({"voice": ["ash"]}), "session.audio.output.voice: [\"ash\"] is not a string"),
        output(json!({"voice": {}}), "session.audio.output.voice.id: (missing) is not a string"),
        output(json!({"voice": {"id": 7}}), "session.audio.output.voice.id: 7 is not a string"),
        output(json!({"speed": 9}), "session.audio.output.speed: 9 is not allowed; the limit is 0.25 to 4"),
        output(json!({"speed": -1}), "session.audio.output.speed: -1 is not allowed"),
        output(json!({"speed": 1e308}), "session.audio.output.speed: 1000000"),
        output(json!({"speed": "fast"}), "session.audio.output.speed: \"fast\" is not a number"),
        output(json!({"speed": true}), "session.audio.output.speed: true is not a number"),
        output(json!({"format": "pcm16"}), "session.audio.output.format: \"pcm16\" is not an object"),
        output(json!({"format": {}}), "session.audio.output.format.type: (missing) is not audio/pcm"),
        output(
            json!({"format": {"type": "audio/pcmu"}}),
            "session.audio.output.format.type: audio/pcmu is not audio/pcm",
        ),
        output(json!({"format": {"type": 5}}), "session.audio.output.format.type: 5 is not a string"),
        output(
            json!({"format": {"type": "audio/pcm", "rate": 8_000}}),
            "session.audio.output.format.rate: 8000 is not 24000",
        ),
        output(
            json!({"format": {"type": "audio/pcm", "rate": "24000"}}),
            "session.audio.output.format.rate: \"24000\"",
        ),
    ]
}

/// Responses, items and other events that are refused.
fn bad_events() -> Vec<BadMessage> {
    let response = |response: Value, refusal| bad(json!({"type": "response.create", "response": response}), refusal);
    let input = |item: Value, refusal| response(json!({"input": [item]}), refusal);
    let content = |content: Value, refusal| {
        response(json!({"input": [{"type": "message", "role": "user", "content": content}]}), refusal)
    };
    let text = |text: Value, refusal| content(json!([{"type": "input_text", "text": text}]), refusal);
    let item = |item: Value, refusal| bad(json!({"type": "conversation.item.create", "item": item}), refusal);
    let types = "is not session.update, conversation.item.create, response.create or response.cancel";
    vec![
        response(json!(1), "response: 1 is not an object"),
        response(json!({}), "response.input: (missing) is not a message with text"),
        response(json!({"input": "Hello."}), "response.input: \"Hello.\" is not a list"),
        response(json!({"input": {}}), "response.input: {} is not a list"),
        response(json!({"input": []}), "response.input: (missing) is not a message with text"),
        response(json!({"output_modalities": ["text"]}), "response.output_modalities: [\"text\"] is not [\"audio\"]"),
        response(json!({"audio": {"output": {"voice": "nobody"}}}), "response.audio.output.voice: nobody is not"),
        response(json!({"audio": {"output": {"speed": 0}}}), "response.audio.output.speed: 0 is not allowed"),
        input(json!("Hello."), "response.input[0]: \"Hello.\" is not an object"),
        input(json!({"type": "item_reference"}), "response.input[0].type: item_reference is not message"),
        input(json!({"type": "message", "role": "system"}), "response.input[0].role: system is not user"),
        input(json!({"type": "message"}), "response.input[0].role: (missing) is not user"),
        input(
            json!({"type": "message", "role": "user"}),
            "response.input[0].content: (missing) is not a list of parts",
        ),
        content(json!([]), "response.input[0].content: [] is not a list of parts"),
        content(json!("Hello."), "response.input[0].content: \"Hello.\" is not a list"),
        content(json!([5]), "response.input[0].content[0]: 5 is not an object"),
        content(json!([{"type": "input_audio"}]), "response.input[0].content[0].type: input_audio is not input_text"),
        content(json!([{"text": "Hello."}]), "response.input[0].content[0].type: (missing) is not input_text"),
        content(json!([{"type": "input_text"}]), "response.input[0].content[0].text: (missing) is not a string"),
        text(json!(1), "response.input[0].content[0].text: 1 is not a string"),
        text(json!({"text": "Hello."}), "response.input[0].content[0].text: {\"text\":\"Hello.\"} is not a string"),
        text(json!(" \n "), "response.input: "),
        text(
            json!("a".repeat(5_000)),
            "response.input: a sentence of 5000 characters is not allowed; the limit is 1 to",
        ),
        text(json!("a ".repeat(25_001)), "response.input[0].content: 50002 is not allowed; the limit is 1 to 50000"),
        bad(json!({"type": "conversation.item.create"}), "item: (missing) is not an object"),
        item(json!("Hello."), "item: \"Hello.\" is not an object"),
        item(json!({"type": "function_call_output"}), "item.type: function_call_output is not message"),
        item(json!({"type": "message", "role": "assistant"}), "item.role: assistant is not user"),
        item(json!({"type": "message", "role": "user", "content": []}), "item.content: [] is not a list of parts"),
        item(json!({"id": 5}), "item.id: 5 is not a string"),
        bad(json!({"type": "response.cancel", "response_id": 1}), "response_id: 1 is not a string"),
        bad(
            json!({"type": "response.cancel", "response_id": "resp_1"}),
            "response_id: resp_1 is not a response in progress",
        ),
        bad(json!({"type": "response.cancel"}), "response_id: (missing) is not a response in progress"),
        bad(json!({"type": "input_audio_buffer.append", "audio": "AAAA"}), types),
        bad(json!({"type": "session.create"}), types),
        bad(json!({"type": ""}), "type: (empty) is not session.update"),
        bad(json!({"type": 1}), "type: 1 is not session.update"),
        bad(json!({}), "type: (missing) is not session.update"),
    ]
}

/// Returns the message of an error that has all its members.
fn refusal(message: &Message, event: &Value) -> String {
    let error = &event["error"];
    let sentence = error["message"].as_str().unwrap_or_else(|| panic!("{event}"));
    assert_eq!((&event["type"], &error["type"]), (&json!("error"), &json!("invalid_request_error")), "{event}");
    assert!(event["event_id"].is_string() && error["code"].is_string(), "{event}");
    let field = error["param"].as_str().unwrap();
    assert!(sentence.starts_with(&format!("{field}: ")) && sentence.contains(" is not "), "{event}");
    let asked = message.to_text().ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
    assert_eq!(error["event_id"], asked.map_or(Value::Null, |asked| asked["event_id"].clone()), "{event}");
    sentence.to_owned()
}

/// Gives an event an id of its own.
fn with_id(mut bad: BadMessage) -> BadMessage {
    let mut event: Value = serde_json::from_str(bad.message.to_text().unwrap()).unwrap();
    event["event_id"] = "mine".into();
    bad.message = Message::Text(event.to_string().into());
    bad
}

#[tokio::test]
async fn bad_events_are_errors_that_name_the_field_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let own = [bad_updates(), bad_events()].concat().into_iter().map(with_id);
    let cases: Vec<_> = own.chain(no_objects()).collect();
    assert_many(&cases);
    for part in cases.chunks(PART) {
        let mut socket = open(&app).await;
        assert_refused(&mut socket.0, part, refusal).await;
        socket.send(create("Still here.")).await;
        let job = TestWorker::new().claim(&app).await;
        assert_eq!((job.spec.text.as_str().trim(), job.spec.speed.get()), ("Still here.", 1.0));
        let ((), events) = tokio::join!(speak(&app, job, 1), until_done(&mut socket));
        let audio = events.iter().filter(|event| event["type"] == "response.output_audio.delta");
        assert_eq!(decoded(audio, "delta"), bytes(&tone(FRAME_SAMPLES)));
    }
}

#[tokio::test]
async fn frames_against_the_rules_are_closed_with_a_code() {
    let app = TestApp::start().await;
    assert_frames_refused(&app, PATH).await;
    let mut socket = open(&app).await;
    socket.send(json!({"type": "session.update", "session": {}})).await;
    assert_eq!(socket.told().await["type"], "session.updated");
    let plain = app.get(PATH).await;
    assert_eq!(plain.body["error"]["code"], "websocket_required", "{}", plain.body);
}

#[tokio::test]
async fn too_many_unreadable_or_too_large_events_are_a_close() {
    let app = TestApp::start().await;
    for (message, count, code) in [("{".to_owned(), 21, 1008), (create(&"a".repeat(70_000)).to_string(), 1, 1009)] {
        let mut socket = open(&app).await;
        for _ in 0..count {
            socket.send_raw(message.as_str().into()).await;
        }
        assert_eq!(close_code_behind(&mut socket.0).await, code);
    }
}
