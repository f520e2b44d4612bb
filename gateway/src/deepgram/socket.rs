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
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use csm_formats::{Resampler, pcm};
use csm_shared::job::Invalid;
use csm_shared::process::connections::Peer;
use csm_shared::process::telemetry::{OpenCount, WEBSOCKETS};
use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout};

use super::options::SpeakOptions;
use crate::app::App;
use crate::http::Problem;
use crate::http::request_id::RequestId;
use crate::provenance_headers::Provenance;
use crate::sentence_queue::{SentenceQueue, SpokenPart};

/// Longest message of a caller, in bytes.
const MESSAGE_MAX: usize = 64 * 1024;
/// Longest time for the caller to take one message.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two pings.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Silence, pongs included, after which a caller counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(70);
/// Messages that cannot be read, after which the socket is closed.
const UNREADABLE_MAX: u32 = 20;

/// Opens a socket under one of few permits.
pub(crate) async fn speak_socket(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Extension(peer): Extension<Peer>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|why| Problem::no_upgrade(why.status(), why.body_text()))?;
    let options = SpeakOptions::read(&query)?;
    if options.encoding.as_deref().is_some_and(|encoding| encoding != "linear16") {
        let encoding = options.encoding.unwrap_or_default();
        return Err(Invalid { status: 400, ..Invalid::malformed("encoding", encoding, "linear16 on a socket") }.into());
    }
    if app.stop.is_cancelled() {
        return Err(Problem::draining());
    }
    let place = app.sockets.take(peer);
    let place = place.ok_or_else(|| Problem::overloaded("Too many WebSockets are open. Try again."))?;
    let upgrade = upgrade.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    let opened = upgrade.on_upgrade(move |socket| {
        let tasks = app.tasks.clone();
        tasks.track_future(async move {
            let _open = OpenCount::new(WEBSOCKETS);
            let voice = options.voice.map(|voice| voice.name().to_owned());
            let sentences = SentenceQueue::new(app.clone(), peer, voice);
            let session =
                Session { socket, app, sentences, rate: options.rate, resampler: None, flushes: 0, closing: false };
            session.run(&request_id).await;
            drop(place);
        })
    });
    Ok((Provenance::LIVE, opened).into_response())
}

/// Reason why a session ends.
enum SessionEnd {
    /// The caller left, fell silent, or takes nothing.
    Gone,
    /// Code and reason of the close.
    Closed(CloseCode, &'static str),
}

struct Session {
    socket: WebSocket,
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
    async fn run(mut self, request_id: &str) {
        let model = self.app.model_name.clone();
        let metadata = json!({"type": "Metadata", "request_id": request_id, "model_name": model});
        let ended = match self.tell(&metadata).await {
            Ok(()) => self.serve().await,
            Err(end) => Err(end),
        };
        if let Err(SessionEnd::Closed(code, reason)) = ended {
            let frame = CloseFrame { code, reason: reason.into() };
            let _ = timeout(SEND_LIMIT, self.socket.send(Message::Close(Some(frame)))).await;
        }
    }

    async fn serve(&mut self) -> Result<(), SessionEnd> {
        let (mut heard, mut unreadable) = (Instant::now(), 0);
        let mut ping = interval(PING_EVERY);
        loop {
            let idle = self.sentences.is_idle();
            if idle && self.closing {
                return Err(SessionEnd::Closed(close_code::NORMAL, "closed as asked"));
            }
            tokio::select! {
                received = self.socket.recv() => {
                    heard = Instant::now();
                    match received {
                        Some(Ok(Message::Text(text))) => {
                            if !self.handle(text.as_str()).await? {
                                unreadable += 1;
                            }
                        }
                        Some(Ok(Message::Binary(_))) => {
                            unreadable += 1;
                            self.warn("a message is JSON in a text message").await?;
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(SessionEnd::Gone),
                    }
                    if unreadable > UNREADABLE_MAX {
                        return Err(SessionEnd::Closed(close_code::POLICY, "too many messages cannot be read"));
                    }
                }
                part = self.sentences.next() => self.deliver(part).await?,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return Err(SessionEnd::Gone);
                    }
                    self.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
                () = self.app.stop.cancelled(), if idle => {
                    return Err(SessionEnd::Closed(close_code::RESTART, "this gateway is shutting down; connect again"));
                }
                () = self.app.late.cancelled() => {
                    return Err(SessionEnd::Closed(close_code::RESTART, "this gateway is shutting down; connect again"));
                }
            }
        }
    }

    /// Handles a message. Returns false if the message cannot be read.
    async fn handle(&mut self, message: &str) -> Result<bool, SessionEnd> {
        let message: Value = serde_json::from_str(message).unwrap_or_default();
        match (message["type"].as_str(), message["text"].as_str()) {
            (Some("Speak"), Some(text)) => {
                let taken = self.sentences.push(text);
                self.tell_refusal(taken).await?;
            }
            (Some("Speak"), None) => {
                self.warn("Speak needs a \"text\"").await?;
                return Ok(false);
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
                self.warn("a message has a \"type\": Speak, Flush, Clear or Close").await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn deliver(&mut self, part: Result<SpokenPart, Problem>) -> Result<(), SessionEnd> {
        let failed = |_| SessionEnd::Closed(close_code::ERROR, "the audio cannot be resampled");
        match part {
            Ok(SpokenPart::Begin) => {
                self.resampler = Some(Resampler::new(self.rate).map_err(failed)?);
                Ok(())
            }
            Ok(SpokenPart::Samples(samples)) => {
                let Some(resampler) = &mut self.resampler else { return Ok(()) };
                let samples = resampler.push(&samples).map_err(failed)?;
                self.send_samples(&samples).await
            }
            Ok(SpokenPart::End) => {
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
        self.send(Message::Binary(pcm(samples).into())).await
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
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), SessionEnd> {
        match timeout(SEND_LIMIT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SessionEnd::Gone),
        }
    }
}
