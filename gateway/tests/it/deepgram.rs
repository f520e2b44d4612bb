//! Deepgram's `/v1/speak`, as a socket and as a request.

use csm_shared::audio::FRAME_SAMPLES;
use csm_shared::job::{Failure, FailureClass, VoiceName};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::{TestApp, until};
use crate::openai::{bytes, publish, speak, tone};
use crate::sockets::{Socket, connect, next, send, told};
use crate::worker::TestWorker;

mod bad_input;

async fn open(app: &TestApp, query: &str) -> Socket {
    let mut socket = connect(app, &format!("/v1/speak?{query}")).await;
    assert_eq!(told(&mut socket).await["type"], "Metadata");
    socket
}

/// Reads samples up to the next text message, which is returned as well.
async fn audio(socket: &mut Socket) -> (Vec<u8>, Value) {
    let mut audio = Vec::new();
    loop {
        match next(socket).await {
            Message::Binary(samples) => audio.extend_from_slice(&samples),
            message => return (audio, serde_json::from_str(message.to_text().unwrap()).unwrap()),
        }
    }
}

#[tokio::test]
async fn text_in_pieces_is_spoken_and_flushed_in_order() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "model=ash&encoding=linear16&sample_rate=24000&mip_opt_out=false").await;
    for word in ["The ", "first ", "sentence. ", "The second"] {
        send(&mut socket, json!({"type": "Speak", "text": word})).await;
    }
    let job = TestWorker::new().claim(&app).await;
    assert_eq!((job.spec.text.as_str(), job.spec.voice), ("The first sentence.", Some(VoiceName::Ash)));
    send(&mut socket, json!({"type": "Flush"})).await;
    let worker = async {
        speak(&app, job, 3).await;
        let second = TestWorker::new().claim(&app).await;
        assert_eq!(second.spec.text.as_str(), "The second");
        speak(&app, second, 2).await;
    };
    let ((), (heard, end)) = tokio::join!(worker, audio(&mut socket));
    assert_eq!(heard, [bytes(&tone(3 * FRAME_SAMPLES)), bytes(&tone(2 * FRAME_SAMPLES))].concat());
    assert_eq!(end, json!({"type": "Flushed", "sequence_id": 0}));
    send(&mut socket, json!({"type": "Flush"})).await;
    assert_eq!(told(&mut socket).await, json!({"type": "Flushed", "sequence_id": 1}), "of nothing");
    send(&mut socket, json!({"type": "Close"})).await;
    assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 1000));
}

#[tokio::test]
async fn a_clear_cancels_what_is_spoken() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "sample_rate=8000").await;
    send(&mut socket, json!({"type": "Speak", "text": "One sentence. Another one. "})).await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    assert!(next(&mut socket).await.is_binary());
    send(&mut socket, json!({"type": "Clear"})).await;
    let (_, cleared) = audio(&mut socket).await;
    assert_eq!(cleared["type"], "Cleared");
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
    publish(&app, &job, 3, FRAME_SAMPLES, &tone(FRAME_SAMPLES)).await;
    send(&mut socket, json!({"type": "Flush"})).await;
    assert_eq!(told(&mut socket).await["type"], "Flushed", "and nothing late before it");
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "the other sentence was dropped");
}

#[tokio::test]
async fn a_failure_is_an_error_and_closes() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "").await;
    send(&mut socket, json!({"type": "Speak", "text": "Hello."})).await;
    send(&mut socket, json!({"type": "Flush"})).await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    let (_, error) = audio(&mut socket).await;
    assert_eq!((&error["type"], &error["err_code"]), (&json!("Error"), &json!("job_failed")));
    assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 1011));
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_job() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "").await;
    send(&mut socket, json!({"type": "Speak", "text": "Hello."})).await;
    send(&mut socket, json!({"type": "Flush"})).await;
    let job = TestWorker::new().claim(&app).await;
    drop(socket);
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
}

#[tokio::test]
async fn a_whole_text_is_one_answer() {
    let app = TestApp::start().await;
    for (query, media_type, length) in [
        ("?encoding=linear16&container=none&model=nova", "audio/pcm", 3 * FRAME_SAMPLES * 2),
        ("?encoding=linear16&sample_rate=8000", "audio/wav", 44 + FRAME_SAMPLES * 2),
    ] {
        let request = app.request(Method::POST, &format!("/v1/speak{query}")).json(&json!({"text": "Hello."}));
        let worker = async { speak(&app, TestWorker::new().claim(&app).await, 3).await };
        let ((), answer) = tokio::join!(worker, async { request.send().await.unwrap() });
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
        assert_eq!(answer.bytes().await.unwrap().len(), length);
    }
    // A tree of values takes many times the memory of its text, so these bodies are small.
    for path in ["/v1/speak", "/tts/bytes", "/v1/text-to-speech/alloy"] {
        let large = app.post(path, format!(r#"{{"text": [{}0]}}"#, "0,".repeat(300_000))).await;
        assert_eq!(large.status.as_u16(), 413, "{path}");
    }
}

/// A model that writes text is faster than speech: many sentences wait when the caller interrupts.
#[tokio::test]
async fn a_clear_is_heard_however_many_sentences_wait() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "").await;
    for _ in 0..60 {
        send(&mut socket, json!({"type": "Speak", "text": "One more sentence. "})).await;
    }
    let job = TestWorker::new().claim(&app).await;
    send(&mut socket, json!({"type": "Clear"})).await;
    assert_eq!(told(&mut socket).await["type"], "Cleared");
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
    for _ in 0..11 {
        send(&mut socket, json!({"type": "Speak", "text": "A very long text. ".repeat(570)})).await;
    }
    let warning = told(&mut socket).await;
    assert!(warning["warn_msg"].as_str().unwrap().contains("0 to 100000 characters that wait"), "{warning}");
}

#[tokio::test]
async fn a_close_lets_the_rest_be_spoken() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "").await;
    send(&mut socket, json!({"type": "Speak", "text": "No full stop"})).await;
    send(&mut socket, json!({"type": "Close"})).await;
    send(&mut socket, json!({"type": "Close"})).await;
    send(&mut socket, json!({"type": "Speak", "text": "Too late"})).await;
    assert_eq!(told(&mut socket).await["description"], "type: Speak is not allowed behind Close.");
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 2).await };
    let heard = async {
        let mut heard = Vec::new();
        loop {
            match next(&mut socket).await {
                Message::Binary(samples) => heard.extend_from_slice(&samples),
                Message::Close(Some(frame)) => return (heard, u16::from(frame.code)),
                other => panic!("{other:?}"),
            }
        }
    };
    let (heard, ()) = tokio::join!(heard, worker);
    assert_eq!(heard, (bytes(&tone(2 * FRAME_SAMPLES)), 1000));
}

#[tokio::test]
async fn a_piece_of_many_sentences_becomes_several_jobs() {
    let app = TestApp::start().await;
    let mut socket = open(&app, "").await;
    let text = "This sentence is one of many that come at once. ".repeat(100);
    send(&mut socket, json!({"type": "Speak", "text": text})).await;
    send(&mut socket, json!({"type": "Flush"})).await;
    let worker = async {
        let mut said = String::new();
        while said.len() < text.trim().len() {
            let job = TestWorker::new().claim(&app).await;
            assert!(job.spec.text.as_str().len() <= 500, "{}", job.spec.text.as_str().len());
            said = format!("{said} {}", job.spec.text.as_str()).trim().to_owned();
            speak(&app, job, 1).await;
        }
        said
    };
    let (said, (_, end)) = tokio::join!(worker, audio(&mut socket));
    assert_eq!((said.as_str(), &end["type"]), (text.trim(), &json!("Flushed")));
}
