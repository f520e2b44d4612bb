//! The two snippets of the integration that this service replaces work unchanged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::test_client::{assert_marked, read_wav};
use crate::test_system::TestSystem;

#[tokio::test]
async fn both_snippets_of_the_old_integration_give_a_playable_marked_wav() {
    let system = TestSystem::start(1, 5).await;
    let request = json!({
        "text": "Hello from Sesame TTS!", "speaker": 0, "max_audio_length_ms": 10000, "temperature": 0.9, "topk": 50
    });
    let answer = system.client.post("/generate", &request).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["format"], &body["sample_rate"]), (&json!("wav"), &json!(24_000)));
    assert_eq!(body.as_object().unwrap().len(), 3, "audio, format, sample_rate and nothing else");
    let wav = BASE64.decode(body["audio"].as_str().unwrap()).unwrap();
    let (samples, _) = read_wav(&wav);
    assert_eq!(samples.len(), 125 * 1_920, "a random model never ends by itself: the budget of 10 s is used up");
    assert_marked(&wav);

    let url = format!("ws://{}/ws", system.client.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for text in ["Hello from WebSocket!", "And once more."] {
        let mut request = request.clone();
        request["text"] = json!(text);
        request["max_audio_length_ms"] = json!(4_000);
        socket.send(Message::text(request.to_string())).await.unwrap();
        let wav = next_message(&mut socket).await.into_data();
        assert_marked(&wav);
    }
    socket.send(Message::text(r#"{"text": ""}"#)).await.unwrap();
    let problem: Value = serde_json::from_str(next_message(&mut socket).await.to_text().unwrap()).unwrap();
    assert_eq!(problem["field"], "text", "one JSON error message, and the socket stays open");
    request_again(&mut socket).await;
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn request_again(socket: &mut Socket) {
    socket.send(Message::text(r#"{"text": "Still here?", "max_audio_length_ms": 800}"#)).await.unwrap();
    assert!(matches!(next_message(socket).await, Message::Binary(_)));
}

/// Returns the next message that is no ping, pong or other protocol frame.
async fn next_message(socket: &mut Socket) -> Message {
    loop {
        match socket.next().await.expect("the socket stays open").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

#[tokio::test]
async fn context_segments_are_accepted_and_change_the_result() {
    let system = TestSystem::start(1, 2).await;
    let mut request = json!({ "text": "And you?", "seed": 5, "max_audio_length_ms": 800 });
    let alone = system.client.post("/generate", &request).await.json::<Value>().await.unwrap();
    let earlier =
        csm_shared::audio::Clip::from_samples((0..9_600).map(|n| ((n * 37) % 2_000) as i16 - 1_000).collect());
    request["context_segments"] =
        json!([{ "text": "I am well.", "speaker": 1, "audio": BASE64.encode(earlier.to_wav()) }]);
    let answer = system.client.post("/generate", &request).await;
    assert_eq!(answer.status(), 200);
    let with_context = answer.json::<Value>().await.unwrap();
    assert_ne!(alone["audio"], with_context["audio"], "the same seed, but another prompt");
}
