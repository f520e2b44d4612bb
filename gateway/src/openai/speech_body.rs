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
use futures::Stream;
use futures::stream;
use serde_json::{Value, json};

use super::request::{SpeechForm, StreamFormat};
use super::speech_source::{SourcePart, SpeechSource, SpokenJob};
use crate::http::Problem;

/// Body that is being written.
pub(super) struct SpeechBody {
    form: SpeechForm,
    step: Step,
}

/// Next step of a body.
enum Step {
    /// First part, which was waited for before the answer began.
    First(Box<Running>, SourcePart),
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
    source: SpeechSource,
    encoder: Option<StreamEncoder>,
}

impl SpeechBody {
    /// Makes the body of a speech whose first part has come.
    pub(super) fn new(form: SpeechForm, encoder: StreamEncoder, source: SpeechSource, first: SourcePart) -> Self {
        Self { form, step: Step::First(Box::new(Running { source, encoder: Some(encoder) }), first) }
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
                        all.append(&mut body.done(&[]));
                        all
                    }
                    Step::First(running, part) => body.write(running, Ok(part)),
                    Step::Running(mut running) => {
                        let part = running.source.next().await;
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
    fn write(&mut self, mut running: Box<Running>, part: Result<SourcePart, Problem>) -> Vec<u8> {
        let written = part.and_then(|part| match part {
            SourcePart::Samples(samples) => {
                let Some(encoder) = &mut running.encoder else { return Ok((Vec::new(), None)) };
                Ok((encoder.push(&samples).map_err(Problem::internal)?, None))
            }
            SourcePart::End(jobs) => {
                let Some(encoder) = running.encoder.take() else { return Ok((Vec::new(), Some(jobs))) };
                Ok((encoder.finish().map_err(Problem::internal)?, Some(jobs)))
            }
        });
        match written {
            Ok((bytes, None)) => {
                self.step = Step::Running(running);
                self.wrap(bytes)
            }
            Ok((bytes, Some(jobs))) => {
                let mut all = self.wrap(bytes);
                all.append(&mut self.done(&jobs));
                all
            }
            Err(problem) => {
                let (message, event) = (problem.to_string(), problem.openai_document(""));
                tracing::warn!(job = %running.source.job(), error = message, "cutting speech");
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

    /// Returns the event that ends the events of these jobs; there are none for silence.
    fn done(&self, jobs: &[SpokenJob]) -> Vec<u8> {
        if self.form.stream == StreamFormat::Audio {
            return Vec::new();
        }
        let sentences = jobs.iter().flat_map(|spoken| &spoken.receipt.sentences);
        let text: u32 = sentences.map(|sentence| sentence.prompt_positions - sentence.context_positions).sum();
        let frames: u32 = jobs.iter().map(|spoken| spoken.receipt.frames).sum();
        let usage = json!({"input_tokens": text, "output_tokens": frames, "total_tokens": text + frames});
        let mut done = json!({"type": "speech.audio.done", "usage": usage});
        match jobs {
            [] => {}
            [spoken] => (done["job"], done["receipt"]) = (spoken.job.to_string().into(), json!(spoken.receipt)),
            [first, ..] => {
                let part = |spoken: &SpokenJob| json!({"job": spoken.job.to_string(), "receipt": spoken.receipt});
                (done["job"], done["parts"]) =
                    (first.job.to_string().into(), jobs.iter().map(part).collect::<Vec<_>>().into());
            }
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
