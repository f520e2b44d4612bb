//! Caller that follows a job's server-sent events and keeps the samples.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Response;
use serde_json::Value;

use crate::test_system::TestSystem;

/// Longest silence: more than the lease of a dead worker and the start of another.
const SILENCE: Duration = Duration::from_secs(120);

/// Decodes the bytes of a JSON string.
pub(super) fn base64(text: &Value) -> Vec<u8> {
    BASE64.decode(text.as_str().unwrap()).unwrap()
}

/// Events of a job that one caller has received.
pub(super) struct LiveListener {
    url: String,
    connection: Option<Response>,
    /// Bytes of incomplete events.
    unread: Vec<u8>,
    last: Option<String>,
    /// All samples in order: 16 bit, lowest byte first.
    pub(super) pcm: Vec<u8>,
    /// Terminal event, by name and content.
    pub(super) end: Option<(String, Value)>,
}

impl Clone for LiveListener {
    /// Returns a listener with the same events and no connection yet.
    fn clone(&self) -> Self {
        Self {
            url: self.url.clone(),
            connection: None,
            unread: Vec::new(),
            last: self.last.clone(),
            pcm: self.pcm.clone(),
            end: self.end.clone(),
        }
    }
}

impl LiveListener {
    pub(super) fn new(system: &TestSystem, job: &str) -> Self {
        let url = format!("http://{}/v1/jobs/{job}/events", system.client.address);
        Self { url, connection: None, unread: Vec::new(), last: None, pcm: Vec::new(), end: None }
    }

    /// Receives events until `enough` holds, or to the end.
    pub(super) async fn receive_until(&mut self, enough: impl Fn(&Self) -> bool) {
        while self.end.is_none() && !enough(self) {
            self.receive_more().await;
        }
    }

    /// Receives events until the gateway closes the stream; none may follow the terminal event.
    pub(super) async fn receive_all(&mut self) {
        while self.receive_more().await {}
        assert!(self.end.is_some(), "the stream was cut");
    }

    /// Connects behind the last event that was received.
    pub(super) async fn open(&self) -> Response {
        let mut request = reqwest::Client::new().get(&self.url);
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    }

    /// Receives the next bytes; returns false if the stream has ended.
    async fn receive_more(&mut self) -> bool {
        if self.connection.is_none() {
            let answer = self.open().await;
            assert_eq!(answer.status(), 200);
            self.connection = Some(answer);
        }
        let connection = self.connection.as_mut().unwrap();
        let chunk = tokio::time::timeout(SILENCE, connection.chunk()).await.expect("something comes").unwrap();
        let Some(chunk) = chunk else { return false };
        self.unread.extend_from_slice(&chunk);
        while let Some(length) = self.unread.windows(2).position(|two| two == b"\n\n") {
            let message: Vec<u8> = self.unread.drain(..length + 2).collect();
            self.take(std::str::from_utf8(&message).unwrap());
        }
        true
    }

    fn take(&mut self, message: &str) {
        let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        // Any other message is a comment that keeps the connection alive.
        let (Some(id), Some(name), Some(data)) = (field("id"), field("event"), field("data")) else { return };
        assert!(self.end.is_none(), "{name} behind the end");
        self.last = Some(id.to_owned());
        let data: Value = serde_json::from_str(data).unwrap();
        if let Some(audio) = data.get("audio") {
            assert_eq!(audio["offset"], self.pcm.len() / 2, "every sample once and in order");
            let pcm = base64(&audio["pcm"]);
            assert_eq!(audio["samples"], pcm.len() / 2);
            self.pcm.extend(pcm);
        }
        if matches!(name, "done" | "no_result") {
            self.end = Some((name.to_owned(), data));
        }
    }
}
