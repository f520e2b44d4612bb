//! The Wyoming port as Home Assistant uses it.

use csm_shared::audio::FRAME_SAMPLES;
use csm_shared::job::{Failure, FailureClass};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::{PATIENCE, TestApp, until};
use crate::openai::{bytes, publish, speak, tone};
use crate::worker::TestWorker;

mod bad_input;

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(app: &TestApp) -> Self {
        Self(BufReader::new(TcpStream::connect(app.wyoming_address).await.unwrap()))
    }

    async fn send(&mut self, kind: &str, data: Value) {
        let line = format!("{}\n", json!({"type": kind, "data": data}));
        self.0.get_mut().write_all(line.as_bytes()).await.unwrap();
    }

    /// Returns the next event and its payload; `None` at the end.
    async fn next(&mut self) -> Option<(Value, Vec<u8>)> {
        let read = async {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let event: Value = serde_json::from_str(&line).unwrap();
            let mut payload = vec![0; event["payload_length"].as_u64().unwrap_or(0) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some((event, payload))
        };
        timeout(PATIENCE, read).await.unwrap()
    }

    /// Reads one audio, from `audio-start` to `audio-stop`.
    async fn audio(&mut self) -> Vec<u8> {
        let start = self.next().await.unwrap().0;
        assert_eq!((&start["type"], &start["data"]["rate"]), (&json!("audio-start"), &json!(24_000)), "{start}");
        let mut audio = Vec::new();
        loop {
            let (event, mut payload) = self.next().await.unwrap();
            match event["type"].as_str().unwrap() {
                "audio-chunk" => audio.append(&mut payload),
                "audio-stop" => return audio,
                other => panic!("{other}: {event}"),
            }
        }
    }
}

#[tokio::test]
async fn a_text_is_spoken_whole_and_in_pieces() {
    let app = TestApp::start().await;
    let mut client = Client::connect(&app).await;
    client.send("describe", json!({})).await;
    let info = client.next().await.unwrap().0;
    assert_eq!(info["data"]["tts"][0]["voices"].as_array().unwrap().len(), 13);
    client.send("ping", json!({"text": "a"})).await;
    assert_eq!(client.next().await.unwrap().0["data"]["text"], "a");

    client.send("synthesize", json!({"text": "Hello.", "voice": {"name": "nova"}})).await;
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 3).await };
    let ((), audio) = tokio::join!(worker, client.audio());
    assert_eq!(audio, bytes(&tone(3 * FRAME_SAMPLES)));

    client.send("synthesize-start", json!({"voice": {"name": "ash"}})).await;
    client.send("synthesize-chunk", json!({"text": "The first sentence is whole. The sec"})).await;
    let first = TestWorker::new().claim(&app).await;
    assert_eq!(first.spec.text.as_str(), "The first sentence is whole.", "before the text is complete");
    client.send("synthesize-chunk", json!({"text": "ond is not"})).await;
    client.send("synthesize", json!({"text": "The first sentence is whole. The second is not"})).await;
    client.send("synthesize-stop", json!({})).await;
    let worker = async {
        speak(&app, first, 2).await;
        let second = TestWorker::new().claim(&app).await;
        assert_eq!(second.spec.text.as_str(), "The second is not");
        speak(&app, second, 1).await;
    };
    let ((), (first, second)) = tokio::join!(worker, async { (client.audio().await, client.audio().await) });
    assert_eq!((first.len(), second.len()), (4 * FRAME_SAMPLES, 2 * FRAME_SAMPLES));
    assert_eq!(client.next().await.unwrap().0["type"], "synthesize-stopped");
}

#[tokio::test]
async fn a_failure_is_an_error_and_never_an_end() {
    let app = TestApp::start().await;
    let mut client = Client::connect(&app).await;
    client.send("synthesize", json!({"text": "Hello."})).await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    assert_eq!(client.next().await.unwrap().0["type"], "audio-start");
    assert_eq!(client.next().await.unwrap().0["type"], "audio-chunk");
    TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    assert_eq!(client.next().await.unwrap().0["type"], "error");
    assert_eq!(client.next().await, None, "the connection is closed behind a cut");
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_job() {
    let app = TestApp::start().await;
    let mut client = Client::connect(&app).await;
    client.send("synthesize", json!({"text": "Hello."})).await;
    let job = TestWorker::new().claim(&app).await;
    drop(client);
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
}
