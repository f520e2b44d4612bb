//! Response in progress: one text that is spoken.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_formats::pcm;
use csm_shared::job::Invalid;
use serde_json::{Value, json};

use super::events::{event, new_id};
use crate::http::Problem;
use crate::sentence_queue::{SentenceQueue, SpokenPart};

/// Response that speaks a text.
pub(super) struct SpokenResponse {
    id: String,
    /// Id of the message that the response says.
    item: String,
    text: String,
    sentences: SentenceQueue,
}

/// End of a response.
pub(super) enum ResponseEnd<'a> {
    /// All was spoken.
    Completed,
    /// The caller cancelled it.
    Cancelled,
    /// The speech failed.
    Failed(&'a Problem),
}

impl SpokenResponse {
    /// Makes the response that speaks `text` through an empty queue.
    pub(super) fn new(text: String, mut sentences: SentenceQueue) -> Result<Self, Invalid> {
        sentences.push(&text)?;
        sentences.flush()?;
        Ok(Self { id: new_id("resp"), item: new_id("item"), text, sentences })
    }

    /// Returns the id of the response.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the event that says that the response has begun.
    pub(super) fn created(&self) -> Value {
        let mut response = self.document("in_progress", &Value::Null);
        response["output"] = json!([]);
        event("response.created", json!({"response": response}))
    }

    /// Returns the next part of the speech. Nothing is lost if the call is dropped.
    pub(super) async fn next(&mut self) -> Result<SpokenPart, Problem> {
        self.sentences.next().await
    }

    /// Returns the events for a part of the speech, and true behind its last part.
    pub(super) fn events(&self, part: &SpokenPart) -> (Vec<Value>, bool) {
        let events = match part {
            SpokenPart::Begin(begun) => {
                vec![self.about("response.output_audio_transcript.delta", json!({"delta": begun.text}))]
            }
            SpokenPart::Samples(samples) if samples.is_empty() => Vec::new(),
            SpokenPart::Samples(samples) => {
                vec![self.about("response.output_audio.delta", json!({"delta": BASE64.encode(pcm(samples))}))]
            }
            SpokenPart::End(_) => Vec::new(),
            SpokenPart::Flushed => vec![
                self.about("response.output_audio.done", json!({})),
                self.about("response.output_audio_transcript.done", json!({"transcript": self.text})),
                self.done(&ResponseEnd::Completed),
            ],
        };
        (events, matches!(part, SpokenPart::Flushed))
    }

    /// Returns the event that ends the response.
    pub(super) fn done(&self, end: &ResponseEnd<'_>) -> Value {
        let response = match end {
            ResponseEnd::Completed => self.document("completed", &Value::Null),
            ResponseEnd::Cancelled => {
                self.document("cancelled", &json!({"type": "cancelled", "reason": "client_cancelled"}))
            }
            ResponseEnd::Failed(problem) => {
                let error = problem.openai_document("")["error"].take();
                let error = json!({"type": error["type"], "code": error["code"], "message": error["message"]});
                self.document("failed", &json!({"type": "failed", "error": error}))
            }
        };
        event("response.done", json!({"response": response}))
    }

    fn document(&self, status: &str, details: &Value) -> Value {
        let item_status = if status == "completed" { status } else { "incomplete" };
        let item = json!({
            "id": self.item,
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": item_status,
            "content": [{"type": "output_audio", "transcript": self.text}],
        });
        json!({
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": [item],
            "output_modalities": ["audio"],
        })
    }

    /// Returns an event about the message that the response says.
    fn about(&self, kind: &str, members: Value) -> Value {
        let mut event = event(kind, members);
        event["response_id"] = self.id.as_str().into();
        event["item_id"] = self.item.as_str().into();
        (event["output_index"], event["content_index"]) = (0.into(), 0.into());
        event
    }
}
