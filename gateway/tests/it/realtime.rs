//! OpenAI's Realtime API, speech only.

use csm_shared::audio::FRAME_SAMPLES;
use csm_shared::job::{Failure, FailureClass, Lane, VoiceName};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::app::TestApp;
use crate::cartesia::cancel_requested;
use crate::openai::{bytes, publish, speak, tone};
use crate::sockets::{JsonSocket, decoded, types};
use crate::worker::TestWorker;

mod bad_input;

const PATH: &str = "/v1/realtime?model=gpt-realtime-2.1-mini";

async fn open(app: &TestApp) -> JsonSocket {
    let mut socket = JsonSocket::open(app, PATH).await;
    assert_eq!(socket.told().await["type"], "session.created");
    socket
}

fn message(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// Makes the request that Open WebUI and wyoming-openai send.
fn create(text: &str) -> Value {
    let response = json!({
        "conversation": "none", "output_modalities": ["audio"], "tools": [], "tool_choice": "none",
        "instructions": "Read it aloud.", "input": [message(text)],
    });
    json!({"type": "response.create", "response": response})
}

async fn until_done(socket: &mut JsonSocket) -> Vec<Value> {
    socket.told_until(|event| event["type"] == "response.done").await
}

#[tokio::test]
async fn a_response_speaks_its_input_word_for_word() {
    let app = TestApp::start().await;
    let mut socket = JsonSocket::open(&app, PATH).await;
    let created = socket.told().await;
    assert_eq!((&created["type"], &created["session"]["type"]), (&json!("session.created"), &json!("realtime")));
    let output = json!({"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "Cedar", "speed": 1.25});
    let session = json!({
        "type": "realtime", "output_modalities": ["audio"], "tools": [], "tool_choice": "none", "instructions": "Read.",
        "audio": {"input": {"turn_detection": null, "transcription": null}, "output": output},
    });
    socket.send(json!({"type": "session.update", "session": session})).await;
    let updated = socket.told().await;
    assert_eq!((&updated["type"], &updated["session"]["id"]), (&json!("session.updated"), &created["session"]["id"]));
    assert_eq!(
        updated["session"]["audio"]["output"],
        json!({"voice": "cedar", "speed": 1.25, "format": output["format"]})
    );
    let text = "The first one. The second is 72%.";
    socket.send(create(text)).await;
    let worker = async {
        let job = TestWorker::new().claim(&app).await;
        assert_eq!((job.spec.voice, job.spec.speed.get()), (Some(VoiceName::Cedar), 1.25));
        assert_eq!((job.spec.lane, job.spec.text.as_str().trim()), (Lane::Live, "The first one."));
        speak(&app, job, 3).await;
        speak(&app, TestWorker::new().claim(&app).await, 2).await;
    };
    let ((), events) = tokio::join!(worker, until_done(&mut socket));
    let mut order = types(&events);
    order.dedup();
    assert_eq!(
        order,
        [
            "response.created",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.done",
        ]
    );
    let audio = events.iter().filter(|event| event["type"] == "response.output_audio.delta");
    assert_eq!(decoded(audio, "delta"), [bytes(&tone(3 * FRAME_SAMPLES)), bytes(&tone(2 * FRAME_SAMPLES))].concat());
    let said = events.iter().filter(|event| event["type"] == "response.output_audio_transcript.delta");
    assert_eq!(said.map(|event| event["delta"].as_str().unwrap()).collect::<String>(), text);
    let [.., transcript, done] = &events[..] else { panic!("{events:?}") };
    assert_eq!(transcript["transcript"], text);
    assert_eq!((&done["response"]["status"], &done["response"]["status_details"]), (&json!("completed"), &Value::Null));
    let id = &events[0]["response"]["id"];
    assert!(id.as_str().unwrap().starts_with("resp_") && events[0]["response"]["status"] == "in_progress");
    assert!(events[1..events.len() - 1].iter().all(|event| event["response_id"] == *id), "{events:?}");
    assert_eq!(done["response"]["id"], *id);
    let mut ids: Vec<_> = events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "each event has an id of its own");
}

#[tokio::test]
async fn the_first_audio_comes_while_the_job_runs() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(create("Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    let events = socket.told_until(|event| event["type"] == "response.output_audio.delta").await;
    assert_eq!(decoded(events.last(), "delta"), bytes(&tone(FRAME_SAMPLES)));
}

#[tokio::test]
async fn items_of_the_conversation_are_spoken_once() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    let mut item = message("Hello.");
    item["id"] = "mine".into();
    socket.send(json!({"type": "conversation.item.create", "item": item})).await;
    for kind in ["conversation.item.added", "conversation.item.done"] {
        let event = socket.told().await;
        assert_eq!((&event["type"], &event["item"]["id"]), (&json!(kind), &json!("mine")));
    }
    let output = json!({"voice": {"id": "echo"}});
    socket.send(json!({"type": "response.create", "response": {"audio": {"output": output}}})).await;
    let worker = async {
        let job = TestWorker::new().claim(&app).await;
        assert_eq!((job.spec.text.as_str(), job.spec.voice), ("Hello.", Some(VoiceName::Echo)));
        speak(&app, job, 1).await;
    };
    let ((), events) = tokio::join!(worker, until_done(&mut socket));
    assert_eq!(events.last().unwrap()["response"]["output"][0]["content"][0]["transcript"], "Hello.");
    socket.send(json!({"type": "response.create"})).await;
    assert_eq!(socket.told().await["error"]["param"], "response.input", "nothing is left");
}

#[tokio::test]
async fn a_cancel_ends_the_job_and_the_response() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for named in [true, false] {
        socket.send(create("One sentence. Another one.")).await;
        let id = socket.told().await["response"]["id"].clone();
        let job = TestWorker::new().claim(&app).await;
        publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
        socket.told_until(|event| event["type"] == "response.output_audio.delta").await;
        socket.send(json!({"type": "response.cancel", "response_id": "resp_other"})).await;
        let error = socket.told().await["error"].clone();
        assert_eq!((&error["code"], &error["param"]), (&json!("response_cancel_not_active"), &json!("response_id")));
        let named = if named { id.clone() } else { Value::Null };
        socket.send(json!({"type": "response.cancel", "response_id": named})).await;
        let done = socket.told().await;
        assert_eq!((&done["type"], &done["response"]["id"]), (&json!("response.done"), &id));
        assert_eq!(done["response"]["status"], "cancelled");
        assert_eq!(done["response"]["status_details"]["reason"], "client_cancelled");
        cancel_requested(&app, &job).await;
        publish(&app, &job, 3, FRAME_SAMPLES, &tone(FRAME_SAMPLES)).await;
        socket.assert_silent().await;
    }
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "the other sentences were dropped");
    socket.send(json!({"type": "response.cancel"})).await;
    assert_eq!(socket.told().await["error"]["code"], "response_cancel_not_active");
}

#[tokio::test]
async fn a_failure_is_no_end_and_the_session_goes_on() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(create("Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    let events = until_done(&mut socket).await;
    assert!(!types(&events).contains(&"response.output_audio.done"), "{events:?}");
    let response = &events.last().unwrap()["response"];
    assert_eq!((&response["status"], &response["status_details"]["type"]), (&json!("failed"), &json!("failed")));
    let error = &response["status_details"]["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("server_error"), &json!("job_failed")));
    assert!(error["message"].as_str().unwrap().contains("the device failed"));
    socket.send(create("...")).await;
    let events = until_done(&mut socket).await;
    assert_eq!(events.last().unwrap()["response"]["status"], "completed");
    assert_eq!(decoded(&events[2..3], "delta").len(), 4_800, "a moment of silence for nothing to say");
}

#[tokio::test]
async fn one_response_at_a_time_and_none_behind_a_caller_that_left() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(create("Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    socket.send(create("More.")).await;
    let events = socket.told_until(|event| event["type"] == "error").await;
    assert_eq!(events.last().unwrap()["error"]["code"], "conversation_already_has_active_response");
    drop(socket);
    cancel_requested(&app, &job).await;
}

#[tokio::test]
async fn a_drain_lets_the_response_end() {
    let mut app = TestApp::start().await;
    let (mut busy, mut idle) = (open(&app).await, open(&app).await);
    busy.send(create("Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    app.stop.cancel();
    assert_eq!(idle.next().await, Err(1012));
    let ((), events) = tokio::join!(speak(&app, job, 1), until_done(&mut busy));
    assert_eq!(events.last().unwrap()["response"]["status"], "completed");
    assert_eq!(busy.next().await, Err(1012));
    drop((busy, idle));
    app.join().await;
}

#[tokio::test]
async fn the_subprotocol_is_named_if_the_caller_offers_it() {
    let app = TestApp::start().await;
    for (offered, chosen) in [
        (Some("realtime"), Some("realtime")),
        (Some("realtime, openai-insecure-api-key.any"), Some("realtime")),
        (None, None),
    ] {
        let mut request = format!("ws://{}{PATH}", app.address).into_client_request().unwrap();
        if let Some(offered) = offered {
            request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
        }
        let (_socket, answer) = connect_async(request).await.unwrap();
        let found = answer.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
        assert_eq!(found, chosen);
    }
}
