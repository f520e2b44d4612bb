//! Bad input: each is a warning or a refusal with field, value and limit, and the socket goes on.

use futures::SinkExt as _;

use super::*;
use crate::nonsense::{
    BadMessage, PART, assert_frames_refused, assert_many, assert_named, assert_refused, bad, no_objects,
};
use crate::sockets::{close_code_behind, refused};

/// Queries that refuse the socket.
const QUERIES: [(&str, &str); 14] = [
    ("model=nobody", "model: nobody is not one of alloy, ash"),
    ("model=", "model: (empty) is not one of alloy, ash"),
    ("model=Aura", "model: Aura is not one of alloy, ash"),
    ("sample_rate=1", "sample_rate: 1 is not one of 8000, 16000"),
    ("sample_rate=", "sample_rate: (empty) is not one of 8000"),
    ("sample_rate=-8000", "sample_rate: -8000 is not one of 8000"),
    ("sample_rate=24000.0", "sample_rate: 24000.0 is not one of 8000"),
    ("sample_rate=99999999999999999999", "sample_rate: 99999999999999999999 is not one of 8000"),
    ("encoding=mulaw", "encoding: mulaw is not linear16 on a socket"),
    ("encoding=mp3", "encoding: mp3 is not linear16 on a socket"),
    ("encoding=", "encoding: (empty) is not linear16 on a socket"),
    ("encoding=LINEAR16", "encoding: LINEAR16 is not linear16 on a socket"),
    ("container=wav", "container: wav is not none on a socket"),
    ("encoding=linear16&container=smoke", "container: smoke is not none on a socket"),
];

/// Queries and bodies that are refused over HTTP.
const REQUESTS: [(&str, &str, &str); 22] = [
    ("model=nobody", r#"{"text": "Hi."}"#, "model: nobody is not one of alloy, ash"),
    ("encoding=alaw", r#"{"text": "Hi."}"#, "encoding: alaw is not mp3, linear16, flac or opus"),
    ("encoding=mp3&container=wav", r#"{"text": "Hi."}"#, "container: wav is not none for this encoding"),
    ("encoding=linear16&container=ogg", r#"{"text": "Hi."}"#, "container: ogg is not none or wav for linear16"),
    ("encoding=opus&container=none", r#"{"text": "Hi."}"#, "container: none is not ogg for opus"),
    ("container=smoke", r#"{"text": "Hi."}"#, "container: smoke is not none for this encoding"),
    ("sample_rate=fast", r#"{"text": "Hi."}"#, "sample_rate: fast is not one of 8000"),
    ("encoding=flac&sample_rate=8000", r#"{"text": "Hi."}"#, "sample_rate: 8000 is not one of 24000 for flac"),
    ("", "", "(body): "),
    ("", "{", "(body): "),
    ("", "[]", "(body): [] is not a JSON object"),
    ("", "null", "(body): null is not a JSON object"),
    ("", r#"{"text": "\ud83d"}"#, "(body): "),
    ("", "{}", "text: (missing) is not a string"),
    ("", r#"{"text": null}"#, "text: (missing) is not a string"),
    ("", r#"{"text": 5}"#, "text: 5 is not a string"),
    ("", r#"{"text": ["Hi."]}"#, "text: [\"Hi.\"] is not a string"),
    ("", r#"{"text": {"text": "Hi."}}"#, "text: {\"text\":\"Hi.\"} is not a string"),
    ("", r#"{"text": ""}"#, "text: \"\" (blank) is not allowed; the limit is 1 to 100000 characters"),
    ("", r#"{"text": " \n "}"#, "(blank) is not allowed; the limit is 1 to 100000 characters"),
    ("", r#"{"text": "\u200b"}"#, "(blank) is not allowed"),
    ("", r#"{"url": "https://example.com/a.txt"}"#, "text: (missing) is not a string"),
];

/// Messages that are refused on a socket.
fn bad_messages() -> Vec<BadMessage> {
    let types = "is not Speak, Flush, Clear, Close or KeepAlive";
    vec![
        bad(json!({}), "type: (missing) is not Speak, Flush"),
        bad(json!({"type": null}), "type: (missing) is not Speak, Flush"),
        bad(json!({"type": 5}), "type: 5 is not a string"),
        bad(json!({"type": ["Speak"]}), "type: [\"Speak\"] is not a string"),
        bad(json!({"type": ""}), "type: (empty) is not Speak, Flush"),
        bad(json!({"type": "Sing"}), types),
        bad(json!({"type": "speak", "text": "Hi."}), types),
        bad(json!({"type": "Speak ", "text": "Hi."}), types),
        bad(json!({"type": "Sing".repeat(1_000)}), types),
        bad(json!({"text": "Hi."}), "type: (missing) is not Speak, Flush"),
        bad(json!({"type": "Speak"}), "text: (missing) is not a string"),
        bad(json!({"type": "Speak", "text": null}), "text: (missing) is not a string"),
        bad(json!({"type": "Speak", "text": 5}), "text: 5 is not a string"),
        bad(json!({"type": "Speak", "text": true}), "text: true is not a string"),
        bad(json!({"type": "Speak", "text": ["Hi."]}), "text: [\"Hi.\"] is not a string"),
        bad(json!({"type": "Speak", "text": {}}), "text: {} is not a string"),
        bad(json!({"type": "Speak", "Text": "Hi."}), "text: (missing) is not a string"),
        bad(
            json!({"type": "Speak", "text": "a".repeat(5_000)}),
            "text: a sentence of 5000 characters is not allowed; the limit is 1 to 4096 characters",
        ),
        bad(json!({"type": "Speak", "text": "ä".repeat(4_097)}), "text: a sentence of 4097 characters is not allowed"),
    ]
}

/// Returns the sentence of a warning that has all its members.
fn refusal(_: &Message, warning: &Value) -> String {
    assert_eq!(warning["type"], "Warning", "{warning}");
    assert_eq!((&warning["warn_msg"], &warning["warn_code"]), (&warning["description"], &warning["code"]));
    assert!(["malformed", "out_of_range"].contains(&warning["code"].as_str().unwrap()), "{warning}");
    warning["description"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bad_messages_are_warnings_that_name_the_field_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let cases = [bad_messages(), no_objects()].concat();
    assert_many(&cases);
    for part in cases.chunks(PART) {
        let mut socket = open(&app, "").await;
        assert_refused(&mut socket, part, refusal).await;
        send(&mut socket, json!({"type": "Speak", "text": "Still here."})).await;
        send(&mut socket, json!({"type": "Flush"})).await;
        let job = TestWorker::new().claim(&app).await;
        assert_eq!(job.spec.text.as_str(), "Still here.");
        let ((), (heard, end)) = tokio::join!(speak(&app, job, 1), audio(&mut socket));
        assert_eq!((heard, &end["type"]), (bytes(&tone(FRAME_SAMPLES)), &json!("Flushed")));
    }
    let mut socket = open(&app, "").await;
    for _ in 0..21 {
        socket.send("{".into()).await.unwrap();
    }
    assert_eq!(close_code_behind(&mut socket).await, 1008);
}

#[tokio::test]
async fn frames_against_the_rules_are_closed_with_a_code() {
    let app = TestApp::start().await;
    assert_frames_refused(&app, "/v1/speak").await;
    let mut socket = open(&app, "").await;
    send(&mut socket, json!({"type": "Flush"})).await;
    assert_eq!(told(&mut socket).await["type"], "Flushed");
}

/// Asserts that a document has the shape of Deepgram's errors; returns its text.
fn assert_shape(document: &Value) -> &str {
    let member = |name: &str| document[name].as_str().unwrap_or_else(|| panic!("no {name} in {document}"));
    assert!(!member("err_code").is_empty() && !member("request_id").is_empty());
    assert_named(member("err_msg"), ["field", "value", "limit"].map(member));
    member("err_msg")
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_shape_that_clients_read() {
    let app = TestApp::start().await;
    for (query, text) in QUERIES {
        let (status, document) = refused(&app, &format!("/v1/speak?{query}")).await;
        assert_eq!(status, 400, "{query}: {document}");
        assert!(assert_shape(&document).starts_with(text), "{query}: {document}");
    }
    for (query, body, text) in REQUESTS {
        let answer = app.post(&format!("/v1/speak?{query}"), body).await;
        assert_eq!(answer.status, 400, "{query} {body}: {}", answer.body);
        assert!(assert_shape(&answer.body).contains(text), "{query} {body}: {}", answer.body);
    }
    for (body, status) in [("a".repeat(100_001), 400), ("a".repeat(600_000), 413)] {
        let answer = app.post("/v1/speak", json!({"text": body}).to_string()).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        assert_shape(&answer.body);
    }
    let unannounced = app.send(app.request(Method::POST, "/v1/speak").body("{}")).await;
    assert_eq!((unannounced.status.as_u16(), unannounced.text("field")), (415, "Content-Type"));
    let plain = app.get("/v1/speak").await;
    assert_eq!(plain.text("err_code"), "websocket_required");
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "nothing of it is spoken");
}
