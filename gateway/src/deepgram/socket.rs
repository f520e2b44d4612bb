//! `WS /v1/speak`: text in pieces in, samples out, one sentence after another.
//!
//! | the caller sends | gets |
//! |---|---|
//! | `Speak` with `text` | binary messages with samples, as soon as a sentence is whole |
//! | `Flush` | the rest, then `Flushed` with a number, behind all audio before it |
//! | `Clear` | `Cleared`; nothing more of what came before |
//! | `Close` | the rest, then the close |
//!
//! A refusal is a `Warning` that names field, value and limit. A speech that fails is an `Error`,
//! and the socket is closed behind it with 1011, so that nothing looks like its end.

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
use crate::message_fields::MessageFields;
use crate::sentence_queue::{SentenceQueue, SpokenPart};
use crate::sockets::{SessionEnd, Socket, SocketUpgrade, TEXT_MESSAGE_MAX, shutdown};
use crate::speech_template::SpeechTemplate;

/// Types of messages, as refusals list them.
const TYPES: &str = "Speak, Flush, Clear, Close or KeepAlive";

/// Opens a socket.
pub(crate) async fn speak_socket(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: SocketUpgrade,
) -> Result<Response, Problem> {
    let options = SpeakOptions::read(&query)?;
    options.check_socket()?;
    let (peer, request_id) = (upgrade.peer, upgrade.request_id.clone());
    let mut template = SpeechTemplate::new(upgrade.tenant.clone());
    if let Some(voice) = options.voice {
        template.set_voice(voice);
    }
    upgrade.open(TEXT_MESSAGE_MAX, move |socket| {
        let sentences = SentenceQueue::new(app.clone(), peer, template);
        Session { socket, app, sentences, request_id, rate: options.rate, resampler: None, flushes: 0, closing: false }
            .run()
    })
}

/// Message of the caller.
enum ClientMessage<'a> {
    /// Piece of the text.
    Speak(&'a str),
    Flush,
    Clear,
    Close,
    KeepAlive,
}

impl<'a> ClientMessage<'a> {
    fn read(message: &'a Value) -> Result<Self, Invalid> {
        let fields = MessageFields::of(message);
        match fields.string("type")? {
            Some("Speak") => match fields.string("text")? {
                Some(text) => Ok(Self::Speak(text)),
                None => Err(fields.missing("text", "a string")),
            },
            Some("Flush") => Ok(Self::Flush),
            Some("Clear") => Ok(Self::Clear),
            Some("Close") => Ok(Self::Close),
            Some("KeepAlive") => Ok(Self::KeepAlive),
            _ => Err(fields.refuse("type", TYPES)),
        }
    }
}

struct Session {
    socket: Socket,
    app: App,
    sentences: SentenceQueue,
    request_id: String,
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
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        self.sentences.clear();
        self.socket.close(end).await;
    }

    async fn serve(&mut self) -> Result<Infallible, SessionEnd> {
        let model = self.app.model_name.clone();
        self.tell(&json!({"type": "Metadata", "request_id": self.request_id, "model_name": model})).await?;
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
                    Err(invalid) => self.warn(invalid).await?,
                },
                part = self.sentences.next() => self.deliver(part).await?,
            }
        }
    }

    /// Handles a message.
    async fn handle(&mut self, message: &Value) -> Result<(), SessionEnd> {
        let message = match ClientMessage::read(message) {
            Ok(message) => message,
            Err(invalid) => {
                self.socket.count_unreadable()?;
                return self.warn(invalid).await;
            }
        };
        match message {
            ClientMessage::Speak(_) if self.closing => {
                self.warn(Invalid::malformed("type", "Speak", "allowed behind Close")).await
            }
            ClientMessage::Speak(text) => {
                let taken = self.sentences.push(text);
                self.tell_refusal(taken).await
            }
            ClientMessage::Flush => {
                let flushed = self.sentences.flush();
                self.tell_refusal(flushed).await
            }
            ClientMessage::Clear => {
                self.sentences.clear();
                self.resampler = None;
                let number = self.next_number();
                self.tell(&json!({"type": "Cleared", "sequence_id": number})).await
            }
            ClientMessage::Close => {
                self.closing = true;
                let taken = self.sentences.push_rest();
                self.tell_refusal(taken).await
            }
            ClientMessage::KeepAlive => Ok(()),
        }
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
                problem.report(&self.request_id);
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
            Err(invalid) => self.warn(invalid).await,
        }
    }

    /// Tells the caller that a message was not taken, under the names of older and newer clients.
    async fn warn(&mut self, invalid: Invalid) -> Result<(), SessionEnd> {
        let problem = Problem::from(invalid);
        problem.report(&self.request_id);
        let (code, text) = (problem.code(), problem.to_string());
        let warning =
            json!({"type": "Warning", "warn_code": code, "warn_msg": text, "code": code, "description": text});
        self.tell(&warning).await
    }

    async fn tell(&mut self, message: &Value) -> Result<(), SessionEnd> {
        self.socket.tell(message).await
    }
}
