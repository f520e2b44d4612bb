//! Bad input: each message is refused with its field, value and limit, and the contexts go on.

use futures::{SinkExt as _, StreamExt as _};

use super::*;
use crate::app::PATIENCE;
use crate::nonsense::{
    BadMessage, PART, assert_frames_refused, assert_many, assert_named, assert_refused, bad, no_objects,
};
use crate::speech::segment;

/// Starts that are refused. The context `kept` is open.
fn bad_starts() -> Vec<BadMessage> {
    let start = |more: Value, refusal| {
        let mut message = json!({"type": "start", "context_id": "b"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bad(message, refusal)
    };
    let turn = |audio: &str| json!({"context_segments": [{"text": "a", "audio": audio}]});
    vec![
        bad(json!({"type": "start"}), "context_id: (missing) is not 1 to 128 characters"),
        start(json!({"context_id": "kept"}), "context_id: kept is not an id that no open context has"),
        start(json!({"context_id": ""}), "context_id: (empty) is not allowed; the limit is 1 to 128 characters"),
        start(
            json!({"context_id": "x".repeat(129)}),
            "(129 characters) is not allowed; the limit is 1 to 128 characters",
        ),
        start(json!({"context_id": 5}), "context_id: 5 is not a string"),
        start(json!({"context_id": {}}), "context_id: {} is not a string"),
        start(json!({"voice": "nobody"}), "voice: nobody is not one of alloy, ash"),
        start(json!({"voice": 7}), "voice: 7 is not"),
        start(json!({"voice": {}}), "voice.id: (missing) is not a string"),
        start(json!({"voice": "ash", "speaker": 1}), "speaker: 1 is not absent"),
        start(json!({"speaker": 10}), "speaker: 10 is not allowed; the limit is 0 to 9"),
        start(json!({"speaker": -1}), "speaker: -1 is not allowed; the limit is 0 to 9"),
        start(json!({"speaker": "one"}), "speaker: \"one\" is not a whole number"),
        start(json!({"temperature": 99}), "temperature: 99 is not allowed; the limit is 0 (greedy) to 2"),
        start(json!({"temperature": -0.1}), "temperature: -0.1 is not allowed"),
        start(json!({"temperature": 1e300}), "temperature: 1"),
        start(json!({"temperature": "hot"}), "temperature: \"hot\" is not a number"),
        start(json!({"topk": 0}), "topk: 0 is not allowed; the limit is 1 to 2048 codes"),
        start(json!({"topk": 2_049}), "topk: 2049 is not allowed"),
        start(json!({"topk": 1.5}), "topk: 1.5 is not a whole number"),
        start(json!({"seed": -1}), "seed: -1 is not a whole number from 0"),
        start(json!({"seed": "a"}), "seed: \"a\" is not a whole number"),
        start(json!({"speed": 9}), "speed: 9 is not allowed; the limit is 0.25 to 4"),
        start(json!({"speed": 0}), "speed: 0 is not allowed"),
        start(json!({"speed": 1e308}), "speed: 1000000000"),
        start(json!({"speed": [1]}), "speed: [1] is not a number"),
        start(json!({"normalize": "yes"}), "normalize: \"yes\" is not true or false"),
        start(json!({"max_audio_length_ms": 1}), "max_audio_length_ms: 1 is not allowed; the limit is 80 to 600000 ms"),
        start(json!({"max_audio_length_ms": 600_001}), "max_audio_length_ms: 600001 is not allowed"),
        start(json!({"lane": "fast"}), "lane: fast is not"),
        start(json!({"lane": 5}), "lane: 5 is not a string"),
        start(json!({"sample_rate": 11_025}), "sample_rate: 11025 is not one of 8000, 16000"),
        start(json!({"sample_rate": "8000"}), "sample_rate: \"8000\" is not a whole number"),
        start(json!({"audio": "smoke"}), "audio: smoke is not binary or base64"),
        start(json!({"audio": 5}), "audio: 5 is not a string"),
        start(json!({"on_disconnect": "x"}), "on_disconnect: x is not cancel or detach"),
        start(json!({"on_disconnect": 1}), "on_disconnect: 1 is not a string"),
        start(json!({"tempo": 1}), "tempo: 1 is not a known field"),
        start(json!({"text": "Hi."}), "text: \"Hi.\" is not a known field"),
        start(json!({"format": "mp3"}), "format: \"mp3\" is not a known field"),
        start(json!({"job": "x"}), "job: \"x\" is not a known field"),
        start(json!({"context_segments": "none"}), "context_segments: \"none\" is not a list"),
        start(json!({"context_segments": [5]}), "context_segments[0]: 5 is not a JSON object"),
        start(json!({"context_segments": [{"text": "a"}]}), "context_segments[0].audio: (missing) is not base64"),
        start(turn("no base64!"), "context_segments[0].audio: no base64! is not base64"),
        start(turn("aGVsbG8sIHRoaXMgaXMgdGV4dA=="), "context_segments[0].audio: aGVsbG8s"),
        start(
            json!({"context_segments": vec![json!({}); 33]}),
            "context_segments: 33 is not allowed; the limit is 0 to 32",
        ),
        start(json!({"context_segments": [segment(1_600)]}), "is not allowed; the limit is 0 to 120000 ms of audio"),
    ]
}

/// Other messages that are refused.
fn bad_messages() -> Vec<BadMessage> {
    let kept = |more: Value, refusal| {
        let mut message = json!({"type": "text", "context_id": "kept", "text": "Hi."});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bad(message, refusal)
    };
    let job = "0190b6c4-0000-7000-8000-000000000000";
    let resume = |more: Value, refusal| {
        let mut message = json!({"type": "resume", "context_id": "b", "job": job});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bad(message, refusal)
    };
    let open = "is not the id of an open context";
    let large = |kind: &str| json!({"type": kind, "context_id": "kept", "text": "a".repeat(70_000)});
    let binary = json!({"type": "start", "context_id": "c", "x": "a".repeat(70_000)}).to_string().into_bytes();
    vec![
        bad(json!({}), "type: (missing) is not start, text, flush"),
        bad(json!({"type": null}), "type: (missing) is not start, text, flush"),
        bad(json!({"type": 1}), "type: 1 is not a string"),
        bad(json!({"type": ""}), "type: (empty) is not start, text, flush"),
        bad(json!({"type": "Start"}), "type: Start is not start, text, flush"),
        bad(json!({"type": "sing".repeat(1_000)}), "… (4000 characters) is not start, text, flush"),
        bad(json!({"type": "text", "text": "a"}), "context_id: (missing) is not 1 to 128 characters"),
        bad(json!({"type": "text", "context_id": "never", "text": "a"}), open),
        kept(json!({"text": null}), "text: (missing) is not a string"),
        kept(json!({"text": 5}), "text: 5 is not a string"),
        kept(json!({"text": ["a"]}), "text: [\"a\"] is not a string"),
        kept(json!({"text": {"text": "a"}}), "text: {\"text\":\"a\"} is not a string"),
        kept(
            json!({"text": "x".repeat(5_000)}),
            "text: a sentence of 5000 characters is not allowed; the limit is 1 to 4096",
        ),
        kept(json!({"flush": 1}), "flush: 1 is not true or false"),
        kept(json!({"tempo": 1}), "tempo: 1 is not a known field"),
        bad(large("text"), "type: text is not start or resume, for a message of this size"),
        bad(large("start"), "is not a known field"),
        BadMessage { message: Message::Binary(binary.into()), refusal: "(message): 70" },
        bad(json!({"type": "flush", "context_id": "never"}), open),
        bad(json!({"type": "flush", "context_id": "kept", "text": "a"}), "text: \"a\" is not a known field"),
        bad(json!({"type": "end", "context_id": "never"}), open),
        bad(json!({"type": "end", "context_id": "KEPT"}), open),
        bad(json!({"type": "end"}), "context_id: (missing) is not 1 to 128 characters"),
        bad(json!({"type": "cancel", "context_id": "never"}), open),
        bad(json!({"type": "cancel", "context_id": ["kept"]}), "context_id: [\"kept\"] is not a string"),
        bad(json!({"type": "ping", "id": 5}), "id: 5 is not a string"),
        bad(json!({"type": "ping", "id": "x".repeat(129)}), "(129 characters) is not allowed; the limit is 1 to 128"),
        bad(json!({"type": "ping", "text": "a"}), "text: \"a\" is not a known field"),
        resume(json!({"job": null}), "job: (missing) is not the id of a job"),
        resume(json!({"job": "x"}), "job: x is not"),
        resume(json!({"job": 5}), "job: 5 is not a string"),
        resume(json!({"after": "x"}), "after: x is not"),
        resume(json!({"after": 5}), "after: 5 is not a string"),
        resume(json!({"after": "1-2", "sample_rate": 8_000}), "sample_rate: 8000 is not 24000"),
        resume(json!({}), "There is no job 0190b6c4-0000-7000-8000-000000000000"),
        bad(json!([{"type": "ping"}]), "is not a JSON object"),
        bad(json!({"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}), "more than 16 levels"),
    ]
}

/// Returns the sentence of an error that has all its members.
fn refusal(message: &Message, error: &Value) -> String {
    assert_eq!((&error["type"], &error["ended"]), (&json!("error"), &json!(false)), "{error}");
    let asked = message.is_text().then(|| serde_json::from_str::<Value>(message.to_text().unwrap()).ok()).flatten();
    let id = asked.as_ref().and_then(|asked| asked["context_id"].as_str()).filter(|id| (1..=128).contains(&id.len()));
    assert_eq!(error["context_id"], json!(id), "{error}");
    let problem = &error["problem"];
    let member = |name: &str| problem[name].as_str().unwrap_or_default();
    assert!(problem["status"].as_u64().is_some_and(|status| (400..500).contains(&status)), "{error}");
    assert!(!member("request_id").is_empty() && !member("title").is_empty(), "{error}");
    if member("code") != "job_not_found" {
        assert_named(member("detail"), ["field", "value", "limit"].map(member));
    }
    member("detail").to_owned()
}

#[tokio::test]
async fn bad_messages_are_refused_by_field_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let cases = [bad_starts(), bad_messages(), no_objects()].concat();
    assert_many(&cases);
    for part in cases.chunks(PART) {
        let mut socket = open(&app).await;
        start(&mut socket, "kept", json!({})).await;
        assert_refused(&mut socket, part, refusal).await;
        say(&mut socket, "kept", "Still here.").await;
        let job = TestWorker::new().claim(&app).await;
        assert_eq!(job.spec.text.as_str(), "Still here.");
        let ((), (audio, _)) = tokio::join!(speak(&app, job, 1), until_told(&mut socket, "sentence_end"));
        assert_eq!(audio[&0], bytes(&tone(FRAME_SAMPLES)));
    }
}

#[tokio::test]
async fn frames_against_the_rules_are_closed_with_a_code() {
    let app = TestApp::start().await;
    assert_frames_refused(&app, "/v1/stream").await;
    let mut socket = open(&app).await;
    send(&mut socket, json!({"type": "ping"})).await;
    assert_eq!(told(&mut socket).await["type"], "pong");
}

#[tokio::test]
async fn contexts_are_limited_and_end_once() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for n in 0..40 {
        send(&mut socket, json!({"type": "start", "context_id": format!("more {n}")})).await;
        let answer = told(&mut socket).await;
        let expected = if n < 32 { "started" } else { "error" };
        assert_eq!(answer["type"], expected, "{answer}");
    }
    send(&mut socket, json!({"type": "end", "context_id": "more 3"})).await;
    assert_eq!(told(&mut socket).await["type"], "done", "an end without a text");
    for kind in ["end", "cancel", "flush"] {
        send(&mut socket, json!({"type": kind, "context_id": "more 3"})).await;
        assert_eq!(told(&mut socket).await["problem"]["field"], "context_id", "closed twice");
    }
}

#[tokio::test]
async fn too_many_unreadable_messages_are_a_close() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    let mut refused = 0;
    for _ in 0..30 {
        let _ = socket.send("{\"type\": \"start\", ".into()).await;
    }
    let closed = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(Message::Text(_))) => refused += 1,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, closed).await.unwrap(), 1008);
    assert_eq!(refused, 20);
}
