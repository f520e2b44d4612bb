//! Body of a speech: encoded bytes, or server-sent events around them.
//!
//! Events are `data:` lines alone, because clients of OpenAI read no others: `speech.audio.delta`
//! with base64 of the next bytes, then `speech.audio.done`. A failure is an event of the type
//! `error`, and the connection is cut behind it.

use std::io;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_formats::StreamEncoder;
use csm_shared::job::Receipt;
use futures::Stream;
use futures::stream;
use serde_json::{Value, json};

use super::request::{SpeechForm, StreamFormat};
use crate::http::Problem;
use crate::live_audio::{LiveAudio, LivePart};

/// Body that is being written.
pub(super) struct SpeechBody {
    form: SpeechForm,
    step: Step,
}

/// Next step of a body.
enum Step {
    /// First part, which was waited for before the answer began.
    First(Box<Running>, LivePart),
    /// Next part of the audio.
    Running(Box<Running>),
    /// Audio that is already there, and the end.
    Silence(Vec<u8>),
    /// Cut of the connection, behind an event that says why.
    Cut(String),
    /// Nothing more.
    Ended,
}

struct Running {
    audio: LiveAudio,
    encoder: Option<StreamEncoder>,
}

impl SpeechBody {
    /// Makes the body of a job's audio, whose first part has come.
    pub(super) fn new(form: SpeechForm, encoder: StreamEncoder, audio: LiveAudio, first: LivePart) -> Self {
        Self { form, step: Step::First(Box::new(Running { audio, encoder: Some(encoder) }), first) }
    }

    /// Makes the body of encoded silence.
    pub(super) const fn silence(form: SpeechForm, bytes: Vec<u8>) -> Self {
        Self { form, step: Step::Silence(bytes) }
    }

    /// Returns the body as a stream. An error of the stream aborts the connection.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut body| async move {
            loop {
                let step = std::mem::replace(&mut body.step, Step::Ended);
                let bytes = match step {
                    Step::Ended => return None,
                    Step::Cut(why) => {
                        // A pause makes the server flush what it has, such as the event that says why.
                        tokio::task::yield_now().await;
                        return Some((Err(io::Error::other(why)), body));
                    }
                    Step::Silence(bytes) => {
                        let mut all = body.wrap(bytes);
                        all.append(&mut body.done(None));
                        all
                    }
                    Step::First(running, part) => body.write(running, Ok(part)),
                    Step::Running(mut running) => {
                        let part = running.audio.next().await;
                        body.write(running, part)
                    }
                };
                if !bytes.is_empty() {
                    return Some((Ok(Bytes::from(bytes)), body));
                }
            }
        })
    }

    /// Writes a part, and notes the next step.
    fn write(&mut self, mut running: Box<Running>, part: Result<LivePart, Problem>) -> Vec<u8> {
        let written = part.and_then(|part| match part {
            LivePart::Samples(samples) => {
                let Some(encoder) = &mut running.encoder else { return Ok((Vec::new(), None)) };
                Ok((encoder.push(&samples).map_err(Problem::internal)?, None))
            }
            LivePart::End(receipt) => {
                let Some(encoder) = running.encoder.take() else { return Ok((Vec::new(), Some(receipt))) };
                Ok((encoder.finish().map_err(Problem::internal)?, Some(receipt)))
            }
        });
        match written {
            Ok((bytes, None)) => {
                self.step = Step::Running(running);
                self.wrap(bytes)
            }
            Ok((bytes, Some(receipt))) => {
                let mut all = self.wrap(bytes);
                all.append(&mut self.done(Some((&running.audio, &receipt))));
                all
            }
            Err(problem) => {
                let (message, event) = (problem.to_string(), problem.openai_document(""));
                tracing::warn!(job = %running.audio.job(), error = message, "cutting speech");
                self.step = Step::Cut(message);
                match self.form.stream {
                    StreamFormat::Audio => Vec::new(),
                    StreamFormat::Sse => sse(&with_type(event, "error")),
                }
            }
        }
    }

    /// Returns bytes of the audio in the form of the answer.
    fn wrap(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.form.stream {
            StreamFormat::Audio => bytes,
            StreamFormat::Sse if bytes.is_empty() => bytes,
            StreamFormat::Sse => sse(&json!({"type": "speech.audio.delta", "audio": BASE64.encode(bytes)})),
        }
    }

    /// Returns the event that ends the events.
    fn done(&self, of: Option<(&LiveAudio, &Receipt)>) -> Vec<u8> {
        if self.form.stream == StreamFormat::Audio {
            return Vec::new();
        }
        let text: u32 = of.map_or(0, |(_, receipt)| {
            receipt.sentences.iter().map(|sentence| sentence.prompt_positions - sentence.context_positions).sum()
        });
        let frames = of.map_or(0, |(_, receipt)| receipt.frames);
        let usage = json!({"input_tokens": text, "output_tokens": frames, "total_tokens": text + frames});
        let mut done = json!({"type": "speech.audio.done", "usage": usage});
        if let Some((audio, receipt)) = of {
            done["job"] = audio.job().to_string().into();
            done["receipt"] = json!(receipt);
        }
        sse(&done)
    }
}

fn with_type(mut document: Value, name: &str) -> Value {
    document["type"] = name.into();
    document
}

/// Returns one server-sent event. JSON has no line breaks of its own.
fn sse(event: &Value) -> Vec<u8> {
    format!("data: {event}\n\n").into_bytes()
}
