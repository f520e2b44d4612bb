//! Bad input: each is refused with its field, value and limit, and no refusal looks like an end.

use super::*;

/// Paths, queries and bodies that are refused over HTTP: with the status, and parts of the message.
const REQUESTS: [(&str, &str, u16, [&str; 2]); 17] = [
    ("nobody", r#"{"text": "Hi."}"#, 404, ["voice_id: nobody", "alloy"]),
    ("ash?output_format=ulaw_8000", r#"{"text": "Hi."}"#, 400, ["output_format: ulaw_8000", "pcm_8000"]),
    ("ash?output_format=", r#"{"text": "Hi."}"#, 400, ["output_format", "mp3_44100_128"]),
    ("ash?output_format=PCM_8000", r#"{"text": "Hi."}"#, 400, ["PCM_8000", "pcm_8000"]),
    ("ash?seed=-1", r#"{"text": "Hi."}"#, 400, ["seed: -1", "18446744073709551615"]),
    ("ash?apply_text_normalization=maybe", r#"{"text": "Hi."}"#, 400, ["maybe", "auto, on or off"]),
    ("ash?auto_mode=1", r#"{"text": "Hi."}"#, 400, ["auto_mode: 1", "true or false"]),
    ("ash", "{", 400, ["(body)", "JSON"]),
    ("ash", "[]", 400, ["(body)", "JSON object"]),
    ("ash", "{}", 422, ["text: (missing)", "a string"]),
    ("ash", r#"{"text": 5}"#, 422, ["text: 5", "a string"]),
    ("ash", r#"{"text": "  "}"#, 422, ["text", " characters"]),
    ("ash", r#"{"text": "Hi.", "voice_settings": {"speed": 5}}"#, 422, ["voice_settings.speed: 5", "0.25 to 4"]),
    ("ash", r#"{"text": "Hi.", "voice_settings": {"speed": "1"}}"#, 422, ["voice_settings.speed", "a number"]),
    ("ash", r#"{"text": "Hi.", "voice_settings": 5}"#, 422, ["voice_settings: 5", "an object"]),
    ("ash", r#"{"text": "Hi.", "seed": 1.5}"#, 422, ["seed: 1.5", "whole number"]),
    ("ash", r#"{"text": "Hi.", "apply_text_normalization": "x"}"#, 400, ["x", "auto, on or off"]),
];

/// Messages that are refused on a socket, with parts of the refusal.
const MESSAGES: [(&str, [&str; 2]); 14] = [
    ("{", ["(message)", "JSON"]),
    ("[]", ["(message)", "a JSON object"]),
    ("5", ["(message)", "a JSON object"]),
    ("{}", ["text: (missing)", "close_context"]),
    (r#"{"type": "Speak"}"#, ["text: (missing)", "flush"]),
    (r#"{"context_id": "a"}"#, ["text: (missing)", "close_socket"]),
    (r#"{"text": 5, "context_id": "a"}"#, ["text: 5", "a string"]),
    (r#"{"text": ["Hi."], "context_id": "a"}"#, ["text", "a string"]),
    (r#"{"text": "Hi.", "context_id": 5}"#, ["context_id: 5", "a string"]),
    (r#"{"text": "Hi.", "context_id": ""}"#, ["context_id", "1 to 128 characters"]),
    (r#"{"text": "Hi.", "context_id": "a", "flush": "yes"}"#, ["flush", "true or false"]),
    (r#"{"context_id": "a", "close_context": 1}"#, ["close_context: 1", "true or false"]),
    (r#"{"text": "Hi.", "voice_settings": {"speed": 0}, "context_id": "a"}"#, ["voice_settings.speed: 0", "0.25 to 4"]),
    (r#"{"text": "Hi.", "voice_settings": [], "context_id": "a"}"#, ["voice_settings", "an object"]),
];

fn assert_holds(message: &Value, parts: [&str; 2], what: &str) {
    let text = message.as_str().unwrap_or_default();
    assert!(parts.iter().all(|part| text.contains(part)), "{what}: {message}");
}

#[tokio::test]
async fn a_bad_request_is_refused_in_the_shape_that_clients_read() {
    let app = TestApp::start().await;
    for (path, body, status, parts) in REQUESTS {
        let answer = app.post(&format!("/v1/text-to-speech/{path}"), body).await;
        let detail = &answer.body["detail"];
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.body);
        assert_holds(&detail["message"], parts, body);
        let code = detail["status"].as_str().unwrap();
        assert!(["voice_not_found", "malformed", "out_of_range"].contains(&code), "{code}");
    }
    for (body, status) in [("a".repeat(100_001), 422), ("a".repeat(600_000), 413)] {
        let answer = app.post("/v1/text-to-speech/ash/stream", &json!({"text": body}).to_string()).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    }
    assert!(TestWorker::new().try_claim(&app).await.is_none());
}

#[tokio::test]
async fn a_bad_voice_or_option_refuses_the_socket() {
    let app = TestApp::start().await;
    for (path, status, reason) in [
        ("nobody-here/multi-stream-input", 404, "nobody-here"),
        ("ash/multi-stream-input?output_format=pcm_32000", 400, "pcm_32000"),
        ("ash/multi-stream-input?sync_alignment=yes", 400, "sync_alignment"),
    ] {
        let refused = connect_async(format!("ws://{}/v1/text-to-speech/{path}", app.address)).await;
        let Err(Error::Http(answer)) = refused else { panic!("{path}") };
        assert_eq!(answer.status(), status);
        let body: Value = serde_json::from_slice(&answer.into_body().unwrap()).unwrap();
        assert_holds(&body["detail"]["message"], [reason, " is not "], path);
    }
    let plain = app.send(app.request(Method::GET, "/v1/text-to-speech/ash/multi-stream-input")).await;
    assert!(plain.body["detail"]["message"].is_string(), "{}", plain.body);
}

#[tokio::test]
async fn a_bad_message_is_an_error_with_the_reason_and_no_end() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    for (message, parts) in MESSAGES {
        socket.0.send(message.into()).await.unwrap();
        let error = socket.told().await;
        assert_holds(&error["message"], parts, message);
        assert_eq!((&error["code"], error.get("isFinal")), (&json!(1008), None), "{error}");
        assert!(error["error"].is_string());
    }
    socket.0.send(Message::Binary(vec![0, 255].into())).await.unwrap();
    assert_holds(&socket.told().await["message"], ["(binary)", "JSON in a text message"], "binary");
    // The socket still serves.
    socket.say("a", "Good. ").await;
    socket.end("a").await;
    let ((), spoken) = tokio::join!(speak_next(&app, "Good.", 1), socket.spoken("a"));
    assert_eq!(spoken.audio.len(), 2 * FRAME_SAMPLES);
    for _ in 0..6 {
        socket.0.send("{".into()).await.unwrap();
    }
    for _ in 0..5 {
        socket.told().await;
    }
    assert_eq!(socket.close_code().await, 1008);
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
