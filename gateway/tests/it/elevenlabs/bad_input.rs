//! Bad input: each is refused with its field, value and limit, and no refusal looks like an end.

use futures::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::nonsense::{BadMessage, PART, assert_frames_refused, assert_many, assert_refused, bad, no_objects};
use crate::sockets::{close_code_behind, refused};

/// Body of a good request.
const HI: &str = r#"{"text": "Hi."}"#;

/// Paths, queries and bodies that are refused over HTTP: with the status, and a part of the message.
const REQUESTS: [(&str, &str, u16, &str); 33] = [
    ("nobody", HI, 404, "voice_id: nobody is not one of alloy, ash"),
    ("%20", HI, 404, "is not one of alloy, ash"),
    ("ash%00", HI, 404, "is not one of alloy, ash"),
    ("ash?output_format=ulaw_8000", HI, 400, "output_format: ulaw_8000 is not one of pcm_8000"),
    ("ash?output_format=", HI, 400, "output_format: (empty) is not one of pcm_8000"),
    ("ash?output_format=PCM_8000", HI, 400, "output_format: PCM_8000 is not one of pcm_8000"),
    ("ash?seed=-1", HI, 400, "seed: -1 is not a whole number from 0 to 18446744073709551615"),
    ("ash?seed=", HI, 400, "seed: (empty) is not a whole number"),
    ("ash?seed=18446744073709551616", HI, 400, "seed: 18446744073709551616 is not a whole number"),
    ("ash?apply_text_normalization=maybe", HI, 400, "apply_text_normalization: maybe is not auto, on or off"),
    ("ash?auto_mode=1", HI, 400, "auto_mode: 1 is not true or false"),
    ("ash?sync_alignment=yes", HI, 400, "sync_alignment: yes is not true or false"),
    ("ash", "", 400, "(body): "),
    ("ash", "{", 400, "(body): "),
    ("ash", "[]", 400, "(body): [] is not a JSON object"),
    ("ash", "null", 400, "(body): null is not a JSON object"),
    ("ash", r#"{"text": NaN}"#, 400, "(body): "),
    ("ash", r#"{"text": "\ud83d"}"#, 400, "(body): "),
    ("ash", "{}", 422, "text: (missing) is not a string"),
    ("ash", r#"{"text": null}"#, 422, "text: (missing) is not a string"),
    ("ash", r#"{"text": 5}"#, 422, "text: 5 is not a string"),
    ("ash", r#"{"text": ["Hi."]}"#, 422, "text: [\"Hi.\"] is not a string"),
    ("ash", r#"{"text": ""}"#, 422, "text: \"\" (blank) is not allowed; the limit is 1 to 100000 characters"),
    ("ash", r#"{"text": "  "}"#, 422, "(blank) is not allowed; the limit is 1 to 100000 characters"),
    (
        "ash",
        r#"{"text": "Hi.", "voice_settings": {"speed": 5}}"#,
        422,
        "voice_settings.speed: 5 is not allowed; the limit is 0.25 to 4",
    ),
    ("ash", r#"{"text": "Hi.", "voice_settings": {"speed": "1"}}"#, 422, "voice_settings.speed: \"1\" is not a number"),
    ("ash", r#"{"text": "Hi.", "voice_settings": 5}"#, 422, "voice_settings: 5 is not an object"),
    ("ash", r#"{"text": "Hi.", "voice_settings": [1]}"#, 422, "voice_settings: [1] is not an object"),
    ("ash", r#"{"text": "Hi.", "seed": 1.5}"#, 422, "seed: 1.5 is not a whole number"),
    ("ash", r#"{"text": "Hi.", "seed": "7"}"#, 422, "seed: 7 is not a whole number"),
    ("ash", r#"{"text": "Hi.", "seed": -1}"#, 422, "seed: -1 is not a whole number"),
    (
        "ash",
        r#"{"text": "Hi.", "apply_text_normalization": "x"}"#,
        400,
        "apply_text_normalization: x is not auto, on or off",
    ),
    ("ash", r#"{"text": "Hi.", "apply_text_normalization": 1}"#, 422, "apply_text_normalization: 1 is not a string"),
];

/// Voices and queries that refuse the socket, with the status and the beginning of the message.
const SOCKETS: [(&str, u16, &str); 8] = [
    ("nobody-here/multi-stream-input", 404, "voice_id: nobody-here is not one of alloy"),
    ("%C3/multi-stream-input", 400, "The path or query cannot be decoded."),
    ("ash/multi-stream-input?output_format=pcm_32000", 400, "output_format: pcm_32000 is not one of"),
    ("ash/multi-stream-input?output_format=%00", 400, "output_format:   is not one of"),
    ("ash/multi-stream-input?sync_alignment=yes", 400, "sync_alignment: yes is not true or false"),
    ("ash/multi-stream-input?auto_mode=", 400, "auto_mode: (empty) is not true or false"),
    ("ash/multi-stream-input?seed=1.5", 400, "seed: 1.5 is not a whole number"),
    ("ash/multi-stream-input?apply_text_normalization=5", 400, "apply_text_normalization: 5 is not auto, on or off"),
];

/// Messages that are refused on a socket.
fn bad_messages() -> Vec<BadMessage> {
    let missing = "text: (missing) is not a string, or flush, close_context or close_socket";
    let with = |more: Value, refusal| {
        let mut message = json!({"text": "Hi.", "context_id": "a"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bad(message, refusal)
    };
    vec![
        bad(json!({}), missing),
        bad(json!({"type": "Speak"}), missing),
        bad(json!({"context_id": "a"}), missing),
        bad(json!({"text": null, "flush": false}), missing),
        bad(json!({"Text": "Hi."}), missing),
        bad(json!({"text": 5}), "text: 5 is not a string"),
        with(json!({"text": 5}), "text: 5 is not a string"),
        with(json!({"text": ["Hi."]}), "text: [\"Hi.\"] is not a string"),
        with(json!({"text": {"text": "Hi."}}), "text: {\"text\":\"Hi.\"} is not a string"),
        with(json!({"context_id": 5}), "context_id: 5 is not a string"),
        with(json!({"context_id": ["a"]}), "context_id: [\"a\"] is not a string"),
        with(json!({"context_id": ""}), "context_id: an id of 0 characters is not allowed; the limit is 1 to 128"),
        with(json!({"context_id": "a".repeat(129)}), "context_id: an id of 129 characters is not allowed"),
        bad(json!({"text": "Hi.", "contextId": 5}), "contextId: 5 is not a string"),
        with(json!({"flush": "yes"}), "flush: \"yes\" is not true or false"),
        with(json!({"flush": 1}), "flush: 1 is not true or false"),
        with(json!({"close_context": 1}), "close_context: 1 is not true or false"),
        bad(json!({"context_id": "a", "close_context": "true"}), "close_context: \"true\" is not true or false"),
        bad(json!({"close_socket": "true"}), "close_socket: \"true\" is not true or false"),
        bad(json!({"close_socket": {}}), "close_socket: {} is not true or false"),
        with(json!({"voice_settings": []}), "voice_settings: [] is not an object"),
        with(json!({"voice_settings": "fast"}), "voice_settings: \"fast\" is not an object"),
        with(json!({"voice_settings": {"speed": 0}}), "voice_settings.speed: 0 is not allowed; the limit is 0.25 to 4"),
        with(json!({"voice_settings": {"speed": -1}}), "voice_settings.speed: -1 is not allowed"),
        with(json!({"voice_settings": {"speed": 1e308}}), "voice_settings.speed: 10000"),
        with(json!({"voice_settings": {"speed": "1"}}), "voice_settings.speed: \"1\" is not a number"),
        with(json!({"voice_settings": {"speed": [1]}}), "voice_settings.speed: [1] is not a number"),
    ]
}

#[tokio::test]
async fn a_bad_request_is_refused_in_the_shape_that_clients_read() {
    let app = TestApp::start().await;
    for (path, body, status, text) in REQUESTS {
        let answer = app.post(&format!("/v1/text-to-speech/{path}"), body).await;
        let detail = &answer.body["detail"];
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.body);
        assert!(detail["message"].as_str().unwrap().contains(text), "{path} {body}: {}", answer.body);
        let code = detail["status"].as_str().unwrap();
        assert!(["voice_not_found", "malformed", "out_of_range"].contains(&code), "{code}");
    }
    for (body, status) in [("a".repeat(100_001), 422), ("a".repeat(600_000), 413)] {
        let answer = app.post("/v1/text-to-speech/ash/stream", &json!({"text": body}).to_string()).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    }
    for (path, status, text) in SOCKETS {
        let (found, document) = refused(&app, &format!("/v1/text-to-speech/{path}")).await;
        assert_eq!(found, status, "{path}: {document}");
        assert!(document["detail"]["message"].as_str().unwrap().starts_with(text), "{path}: {document}");
    }
    let plain = app.send(app.request(Method::GET, "/v1/text-to-speech/ash/multi-stream-input")).await;
    assert!(plain.body["detail"]["message"].is_string(), "{}", plain.body);
    assert!(TestWorker::new().try_claim(&app).await.is_none());
}

/// Returns the text of an error that has all its members, and is no end.
fn refusal(message: &Message, error: &Value) -> String {
    assert_eq!((&error["code"], error.get("isFinal")), (&json!(1008), None), "{error}");
    assert!(["malformed", "out_of_range"].contains(&error["error"].as_str().unwrap()), "{error}");
    let asked = message.to_text().ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let named = asked.is_some_and(|asked| asked["context_id"] == "a");
    assert_eq!(error["contextId"], if named { json!("a") } else { Value::Null }, "{error}");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(": ") && text.contains(" is not ") && text.ends_with('.'), "{error}");
    text.to_owned()
}

#[tokio::test]
async fn bad_messages_are_errors_that_name_the_field_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let cases = [bad_messages(), no_objects()].concat();
    assert_many(&cases);
    for part in cases.chunks(PART) {
        let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
        assert_refused(&mut socket.0, part, refusal).await;
        socket.say("a", "Still here. ").await;
        socket.end("a").await;
        let ((), spoken) = tokio::join!(speak_next(&app, "Still here.", 1), socket.spoken("a"));
        assert_eq!(spoken.audio, bytes(&tone(FRAME_SAMPLES)));
    }
    let mut socket = Socket::open(&app, "").await;
    for _ in 0..21 {
        socket.0.send("{".into()).await.unwrap();
    }
    assert_eq!(close_code_behind(&mut socket.0).await, 1008);
}

#[tokio::test]
async fn frames_against_the_rules_are_closed_with_a_code() {
    let app = TestApp::start().await;
    assert_frames_refused(&app, "/v1/text-to-speech/ash/multi-stream-input").await;
    let mut socket = Socket::open(&app, "").await;
    socket.send(json!({"context_id": "a", "close_context": true})).await;
    assert_eq!(socket.told().await["isFinal"], true);
}

fn assert_holds(message: &Value, parts: [&str; 2], what: &str) {
    let text = message.as_str().unwrap_or_default();
    assert!(parts.iter().all(|part| text.contains(part)), "{what}: {message}");
}

#[tokio::test]
async fn a_text_over_a_limit_ends_its_context_with_an_error() {
    let app = TestApp::start().await;
    let long = "A long text. ".repeat(800);
    for (text, pieces, refused, limit) in [
        ("a".repeat(5_000), 1, "a", "1 to 4096 characters"),
        // The limit is that of all contexts together, and the tenth piece is over it.
        (long, 10, "b", "0 to 100000 characters that wait"),
    ] {
        let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
        for piece in 0..pieces {
            socket.say(if piece % 2 == 0 { "a" } else { "b" }, &text).await;
        }
        let error = socket.told().await;
        assert_holds(&error["message"], ["text: ", limit], limit);
        assert_eq!((&error["contextId"], &error["code"]), (&json!(refused), &json!(1008)));
        if pieces > 1 {
            // The close of a failed context has no answer, that of the other one has.
            socket.send(json!({"context_id": "b", "close_context": true})).await;
            socket.send(json!({"context_id": "a", "close_context": true})).await;
            assert_eq!(socket.told().await, json!({"contextId": "a", "isFinal": true}));
        }
        assert_eq!(socket.close_code().await, 1008);
    }
    let mut socket = Socket::open(&app, "").await;
    socket.say("a", &"a".repeat(70_000)).await;
    assert_eq!(socket.close_code().await, 1009);
}

#[tokio::test]
async fn contexts_are_limited_and_those_that_rest_make_room() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    for context in 0..32 {
        socket.say(&format!("c{context}"), "Not whole").await;
    }
    socket.say("one too many", "Hi. ").await;
    let error = socket.told().await;
    assert_eq!(error["contextId"], "one too many");
    assert_holds(&error["message"], ["context_id: 33", "0 to 32 contexts on one socket"], "33");
    // A context that has spoken everything rests.
    socket.send(json!({"context_id": "c5", "flush": true})).await;
    let worker = speak_next(&app, "Not whole", 1);
    let ((), audio) = tokio::join!(worker, socket.told());
    assert_eq!(audio["contextId"], "c5");
    assert!(socket.told().await["alignment"].is_object());
    socket.say("one more", "Hi. ").await;
    assert_eq!(socket.told().await, json!({"contextId": "c5", "isFinal": true}));
}

#[tokio::test]
async fn a_closed_context_takes_no_more_text() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    socket.say("a", "The only sentence. ").await;
    socket.end("a").await;
    let job = TestWorker::new().claim(&app).await;
    socket.say("a", "Another. ").await;
    assert_holds(&socket.told().await["message"], ["context_id: a", "not closed"], "closed");
    let ((), spoken) = tokio::join!(speak(&app, job, 1), socket.spoken("a"));
    assert_eq!(spoken.text(), "The only sentence. ");
    socket.send(json!({"context_id": "a", "close_context": true})).await;
    assert_eq!(socket.told().await["isFinal"], true, "nobody waits in vain");
}
