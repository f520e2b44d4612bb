//! `WS /v1/speak`: text in pieces in, samples out, one sentence after another.
//!
//! | the caller sends | gets |
//! |---|---|
//! | `Speak` with `text` | binary messages with samples, as soon as a sentence is whole |
//! | `Flush` | the rest, then `Flushed` with a number, behind all audio before it |
//! | `Clear` | `Cleared`; nothing more of what came before |
//! | `Close` | the rest, then the close |
//!
//! A refusal is a `Warning`. A speech that fails is an `Error`, and the socket is closed behind it
//! with 1011, so that nothing looks like its end.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::ws::{Message, close_code};
use axum::extract::{Query, State};
use axum::response::Response;
use csm_formats::{Resampler, pcm};
use csm_shared::job::Invalid;
use serde_json::{Value, json};

use super::options::SpeakOptions;
use crate::app::App;
use crate::http::Problem;
use crate::sentence_queue::{SentenceQueue, SpokenPart};
use crate::sockets::{SessionEnd, Socket, SocketUpgrade, TEXT_MESSAGE_MAX, shutdown};
use crate::speech_template::SpeechTemplate;

/// Opens a socket.
pub(crate) async fn speak_socket(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: SocketUpgrade,
) -> Result<Response, Problem> {
    let options = SpeakOptions::read(&query)?;
    if options.encoding.as_deref().is_some_and(|encoding| encoding != "linear16") {
        let encoding = options.encoding.unwrap_or_default();
        return Err(Invalid { status: 400, ..Invalid::malformed("encoding", encoding, "linear16 on a socket") }.into());
    }
    let (peer, request_id) = (upgrade.peer, upgrade.request_id.clone());
    let mut template = SpeechTemplate::new(upgrade.tenant.clone());
    if let Some(voice) = options.voice {
        template.set_voice(voice);
    }
    upgrade.open(TEXT_MESSAGE_MAX, move |socket| {
        let sentences = SentenceQueue::new(app.clone(), peer, template);
        Session { socket, app, sentences, rate: options.rate, resampler: None, flushes: 0, closing: false }
            .run(request_id)
    })
}

struct Session {
    socket: Socket,
    app: App,
    sentences: SentenceQueue,
    /// Samples a second.
    rate: u32,
    /// Resampler of the sentence that is spoken.
    resampler: Option<Resampler>,
    /// Flushes that were answered.
    flushes: u64,
    /// True once the caller has asked for the close.
    closing: bool,
}

impl Session {
    /// Serves until the caller or the gateway leaves.
    async fn run(mut self, request_id: String) {
        let Err(end) = self.serve(&request_id).await;
        self.sentences.clear();
        self.socket.close(end).await;
    }

    async fn serve(&mut self, request_id: &str) -> Result<Infallible, SessionEnd> {
        let model = self.app.model_name.clone();
        self.tell(&json!({"type": "Metadata", "request_id": request_id, "model_name": model})).await?;
        loop {
            let idle = self.sentences.is_idle();
            if idle && self.closing {
                return Err(SessionEnd::Closed(close_code::NORMAL, "closed as asked"));
            }
            tokio::select! {
                biased;
                end = shutdown(&self.app, idle) => return Err(end),
                message = self.socket.recv_json() => match message? {
                    Ok(message) => self.handle(&message).await?,
                    Err(invalid) => self.warn(&invalid.to_string()).await?,
                },
                part = self.sentences.next() => self.deliver(part).await?,
            }
        }
    }

    /// Handles a message.
    async fn handle(&mut self, message: &Value) -> Result<(), SessionEnd> {
        match (message["type"].as_str(), message["text"].as_str()) {
            (Some("Speak"), Some(text)) => {
                let taken = self.sentences.push(text);
                self.tell_refusal(taken).await?;
            }
            (Some("Speak"), None) => {
                self.socket.count_unreadable()?;
                self.warn("Speak needs a \"text\"").await?;
            }
            (Some("Flush"), _) => {
                let flushed = self.sentences.flush();
                self.tell_refusal(flushed).await?;
            }
            (Some("Clear"), _) => {
                self.sentences.clear();
                self.resampler = None;
                let number = self.next_number();
                self.tell(&json!({"type": "Cleared", "sequence_id": number})).await?;
            }
            (Some("Close"), _) => {
                self.closing = true;
                let taken = self.sentences.push_rest();
                self.tell_refusal(taken).await?;
            }
            (Some("KeepAlive"), _) => {}
            _ => {
                self.socket.count_unreadable()?;
                self.warn("a message has a \"type\": Speak, Flush, Clear or Close").await?;
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, part: Result<SpokenPart, Problem>) -> Result<(), SessionEnd> {
        let failed = |_| SessionEnd::Closed(close_code::ERROR, "the audio cannot be resampled");
        match part {
            Ok(SpokenPart::Begin(_)) => {
                self.resampler = Some(Resampler::new(self.rate).map_err(failed)?);
                Ok(())
            }
            Ok(SpokenPart::Samples(samples)) => {
                let Some(resampler) = &mut self.resampler else { return Ok(()) };
                let samples = resampler.push(&samples).map_err(failed)?;
                self.send_samples(&samples).await
            }
            Ok(SpokenPart::End(_)) => {
                let Some(resampler) = self.resampler.take() else { return Ok(()) };
                let samples = resampler.finish().map_err(failed)?;
                self.send_samples(&samples).await
            }
            Ok(SpokenPart::Flushed) => {
                let number = self.next_number();
                self.tell(&json!({"type": "Flushed", "sequence_id": number})).await
            }
            Err(problem) => {
                let (code, description) = (problem.code(), problem.to_string());
                let error =
                    json!({"type": "Error", "err_code": code, "description": description, "err_msg": description});
                self.tell(&error).await?;
                Err(SessionEnd::Closed(close_code::ERROR, "the speech failed"))
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        let number = self.flushes;
        self.flushes += 1;
        number
    }

    async fn send_samples(&mut self, samples: &[i16]) -> Result<(), SessionEnd> {
        if samples.is_empty() {
            return Ok(());
        }
        self.socket.send(Message::Binary(pcm(samples).into())).await
    }

    /// Tells the caller of text that was not taken.
    async fn tell_refusal(&mut self, taken: Result<(), Invalid>) -> Result<(), SessionEnd> {
        match taken {
            Ok(()) => Ok(()),
            Err(invalid) => self.warn(&invalid.to_string()).await,
        }
    }

    async fn warn(&mut self, text: &str) -> Result<(), SessionEnd> {
        self.tell(&json!({"type": "Warning", "warn_msg": text, "description": text})).await
    }

    async fn tell(&mut self, message: &Value) -> Result<(), SessionEnd> {
        self.socket.tell(message).await
    }
}
