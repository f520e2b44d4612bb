//! Callers that ask for more than there is, and callers that read slowly.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::FRAME_SAMPLES;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, client_async};

use crate::app::TestApp;
use crate::openai::{bytes, speak, tone};
use crate::sockets::{Socket, connect, next, send};
use crate::worker::TestWorker;

/// Contexts that a caller asks for.
const CONTEXTS: usize = 10_000;
/// Contexts that it gets.
const CONTEXTS_MAX: usize = 32;
/// Memory that the refusal of the others may take, in pages of 4 KiB.
const PAGES_MAX: u64 = 64 * 256;
/// Frames of a speech that no buffer of a connection holds.
const FRAMES: usize = 300;

const STREAM: &str = "/v1/stream";
const ELEVENLABS: &str = "/v1/text-to-speech/ash/multi-stream-input?output_format=pcm_24000";
const CARTESIA: &str = "/tts/websocket";

/// Returns the memory of this process, in pages.
fn resident_pages() -> u64 {
    let numbers = std::fs::read_to_string("/proc/self/statm").unwrap();
    numbers.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Asks for contexts while the answers are read. `refused` returns the context of a refusal that has
/// the right shape, and `None` for another answer.
async fn flood(
    app: &TestApp,
    path: &str,
    ask: impl Fn(String) -> Value,
    refused: impl Fn(&Value) -> Option<&Value>,
) -> Socket {
    let (mut sink, mut stream) = connect(app, path).await.split();
    let asking = async {
        for number in 0..CONTEXTS {
            sink.feed(Message::Text(ask(format!("c{number}")).to_string().into())).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let reading = async {
        let mut expected = CONTEXTS_MAX..CONTEXTS;
        while !expected.is_empty() {
            let Message::Text(text) = stream.next().await.unwrap().unwrap() else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if let Some(context) = refused(&answer) {
                assert_eq!(*context, format!("c{}", expected.next().unwrap()), "{answer}");
            }
        }
    };
    tokio::join!(asking, reading);
    sink.reunite(stream).unwrap()
}

/// Speaks the next job, whose text is `text`, and reads up to the message that `last` takes.
async fn assert_speaks(app: &TestApp, socket: &mut Socket, text: &str, last: impl Fn(&Value) -> bool) {
    let job = TestWorker::new().claim(app).await;
    assert_eq!(job.spec.text.as_str(), text);
    let reading = async {
        loop {
            if let Message::Text(message) = next(socket).await
                && last(&serde_json::from_str(&message).unwrap())
            {
                return;
            }
        }
    };
    tokio::join!(speak(app, job, 2), reading);
}

#[tokio::test]
async fn ten_thousand_contexts_are_refused_by_name_and_the_first_ones_speak() {
    let app = TestApp::start().await;
    let before = resident_pages();
    let format = json!({"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000});
    let piece = |id: String| json!({"context_id": id, "transcript": "Still", "continue": true, "voice": "ash", "output_format": format});
    let (mut first, mut second, mut third) = tokio::join!(
        flood(
            &app,
            STREAM,
            |id| json!({"type": "start", "context_id": id}),
            |answer| { (answer["problem"]["field"] == "context_id").then(|| &answer["context_id"]) }
        ),
        flood(
            &app,
            ELEVENLABS,
            |id| json!({"text": "Still", "context_id": id}),
            |answer| { (answer["code"] == 1008).then(|| &answer["contextId"]) }
        ),
        flood(&app, CARTESIA, piece, |answer| (answer["field"] == "context_id").then(|| &answer["context_id"])),
    );
    assert!(resident_pages() < before + PAGES_MAX, "{before} {}", resident_pages());

    send(&mut first, json!({"type": "text", "context_id": "c31", "text": "Still here.", "flush": true})).await;
    assert_speaks(&app, &mut first, "Still here.", |message| message["type"] == "sentence_end").await;
    send(&mut second, json!({"text": " here.", "context_id": "c31", "flush": true})).await;
    assert_speaks(&app, &mut second, "Still here.", |message| message["alignment"].is_object()).await;
    send(&mut third, json!({"transcript": " here.", "context_id": "c31"})).await;
    assert_speaks(&app, &mut third, "Still here.", |message| message["type"] == "done").await;
}

/// Opens a socket with little room for what is not read.
async fn connect_slow(app: &TestApp, path: &str) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1_024).unwrap();
    let stream = socket.connect(app.address).await.unwrap();
    let url = format!("ws://{}{path}", app.address);
    client_async(url, MaybeTlsStream::Plain(stream)).await.unwrap().0
}

/// Surface, with what a caller sends to be spoken.
type Asked = (&'static str, Vec<Value>);

/// Returns the requests for one sentence on each socket.
fn asked() -> [Asked; 5] {
    let input = json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}]);
    let format = json!({"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000});
    let start = json!({"type": "start", "context_id": "a"});
    let end = json!({"type": "end", "context_id": "a"});
    let close = json!({"context_id": "a", "close_context": true});
    [
        (STREAM, vec![start, json!({"type": "text", "context_id": "a", "text": "Hello."}), end]),
        (ELEVENLABS, vec![json!({"text": "Hello.", "context_id": "a", "flush": true}), close]),
        (CARTESIA, vec![json!({"context_id": "a", "transcript": "Hello.", "voice": "ash", "output_format": format})]),
        ("/v1/realtime", vec![json!({"type": "response.create", "response": {"input": input}})]),
        ("/v1/speak", vec![json!({"type": "Speak", "text": "Hello."}), json!({"type": "Flush"})]),
    ]
}

/// Reads up to the end of a speech, and returns its samples.
async fn heard(socket: &mut Socket) -> Vec<u8> {
    let mut heard = Vec::new();
    loop {
        let message = match next(socket).await {
            // The native socket puts a head in front of the samples.
            Message::Binary(samples) if samples.len() % 256 == 24 => {
                heard.extend_from_slice(&samples[24..]);
                continue;
            }
            Message::Binary(samples) => {
                heard.extend_from_slice(&samples);
                continue;
            }
            message => serde_json::from_str::<Value>(message.to_text().unwrap()).unwrap(),
        };
        let is_end = matches!(message["type"].as_str(), Some("done" | "response.done" | "Flushed"));
        if is_end || message["isFinal"] == true {
            return heard;
        }
        let samples = ["audio", "data", "delta"].iter().find_map(|name| message[*name].as_str());
        if message["type"] != "response.output_audio_transcript.delta" {
            heard.extend(samples.map(|samples| BASE64.decode(samples).unwrap()).unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn a_slow_reader_hears_everything_on_every_socket() {
    let app = TestApp::start().await;
    for (path, messages) in asked() {
        let mut socket = connect_slow(&app, path).await;
        for message in messages {
            send(&mut socket, message).await;
        }
        let worker = async { speak(&app, TestWorker::new().claim(&app).await, FRAMES).await };
        let reading = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            heard(&mut socket).await
        };
        let ((), heard) = tokio::join!(worker, reading);
        assert!(heard == bytes(&tone(FRAMES * FRAME_SAMPLES)), "{path}: {} bytes", heard.len());
    }
}
