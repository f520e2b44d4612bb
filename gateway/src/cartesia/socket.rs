//! `WS /tts/websocket`: many speeches on one socket, each with text in pieces.
//!
//! | the caller sends | gets |
//! |---|---|
//! | `transcript` with a `context_id` | `chunk` messages, and `timestamps` behind each sentence |
//! | the same without `continue` | the rest, then `done` |
//! | the same with `flush` | the rest so far, then `flush_done` |
//! | `cancel` with a `context_id` | nothing more of that context; its job is cancelled |
//!
//! An `error` ends its context and no other. It has `done: false`, because LiveKit's client would
//! take a failure with `done: true` for the end of the speech.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::extract::State;
use axum::response::Response;
use csm_shared::job::limits::Limit;
use csm_shared::job::{Invalid, Tenant};
use csm_shared::process::connections::Peer;
use serde_json::Value;

use super::context::SpeechContext;
use super::generation::{Container, SpeechSettings, Transcript};
use crate::app::App;
use crate::http::Problem;
use crate::message_fields::MessageFields;
use crate::sentence_queue::{SentenceQueue, SpokenPart, next_of_any};
use crate::sockets::{SessionEnd, Socket, SocketUpgrade, TEXT_MESSAGE_MAX, shutdown};
use crate::speech_template::SpeechTemplate;

/// Contexts in progress on one socket.
const CONTEXTS: Limit = Limit { min: 0, max: 32, unit: "contexts in progress", status: 400 };
/// Ended contexts whose names are remembered, so that late text for them is refused.
const ENDED_MAX: usize = 256;
/// Length of a context's name.
const ID_BYTES: Limit = Limit { min: 1, max: 128, unit: "bytes", status: 400 };

/// Opens a socket.
pub(crate) async fn speak_socket(State(app): State<App>, upgrade: SocketUpgrade) -> Result<Response, Problem> {
    let (peer, tenant, request_id) = (upgrade.peer, upgrade.tenant.clone(), upgrade.request_id.clone());
    upgrade.open(TEXT_MESSAGE_MAX, move |socket| {
        let (contexts, ended) = (Vec::new(), VecDeque::new());
        Session { socket, app, peer, tenant, request_id, contexts, ended }.run()
    })
}

struct Session {
    socket: Socket,
    app: App,
    peer: Peer,
    tenant: Tenant,
    request_id: String,
    /// Contexts in progress, the one whose turn is next in front.
    contexts: Vec<SpeechContext>,
    /// Names of contexts that have ended, oldest first.
    ended: VecDeque<String>,
}

impl Session {
    /// Serves until the caller or the gateway leaves.
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        self.contexts.clear();
        self.socket.close(end).await;
    }

    async fn serve(&mut self) -> Result<Infallible, SessionEnd> {
        loop {
            let idle = self.contexts.iter().all(|context| context.sentences.is_idle());
            let speaking = self.contexts.iter_mut().map(|context| &mut context.sentences);
            tokio::select! {
                biased;
                end = shutdown(&self.app, idle) => return Err(end),
                message = self.socket.recv_json() => match message? {
                    Ok(message) => self.handle(&message).await?,
                    Err(invalid) => self.tell_error(None, &invalid.into()).await?,
                },
                (place, part) = next_of_any(speaking) => self.deliver(place, part).await?,
            }
        }
    }

    /// Handles a message.
    async fn handle(&mut self, message: &Value) -> Result<(), SessionEnd> {
        let fields = MessageFields::of(message);
        let id = match context_id(&fields) {
            Ok(id) => id,
            Err(invalid) => {
                self.socket.count_unreadable()?;
                return self.tell_error(None, &invalid.into()).await;
            }
        };
        let taken = match fields.boolean("cancel") {
            Ok(Some(true)) => self.cancel(id, &fields),
            Ok(_) => self.take(id, &fields),
            Err(invalid) => Err(invalid),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(invalid) => {
                self.end(id);
                self.tell_error(Some(id), &invalid.into()).await
            }
        }
    }

    /// Drops a context, which cancels its job.
    fn cancel(&mut self, id: &str, message: &MessageFields<'_>) -> Result<(), Invalid> {
        if !self.contexts.iter().any(|context| context.id() == id) {
            return Err(message.refuse("context_id", "a context in progress"));
        }
        self.end(id);
        Ok(())
    }

    /// Takes text of a context, which begins with its first text.
    fn take(&mut self, id: &str, message: &MessageFields<'_>) -> Result<(), Invalid> {
        let transcript = Transcript::read(message)?;
        if let Some(context) = self.contexts.iter_mut().find(|context| context.id() == id) {
            return context.take(transcript, message);
        }
        let mut context = self.open(id, message)?;
        context.take(transcript, message)?;
        self.contexts.push(context);
        Ok(())
    }

    /// Makes a new context.
    fn open(&self, id: &str, message: &MessageFields<'_>) -> Result<SpeechContext, Invalid> {
        if self.ended.iter().any(|ended| ended == id) {
            return Err(message.refuse("context_id", "a new name: the context of this name has ended"));
        }
        let settings = SpeechSettings::read(message)?;
        if settings.output.container != Container::Raw {
            let container = if settings.output.container == Container::Wav { "wav" } else { "mp3" };
            return Err(Invalid::malformed("output_format.container", container, "raw on a socket"));
        }
        let timestamps = message.boolean("add_timestamps")?.unwrap_or_default();
        let count = self.contexts.len() as u64 + 1;
        if !CONTEXTS.allows(count) {
            return Err(Invalid::outside("context_id", format!("{id} as context {count}"), &CONTEXTS));
        }
        let mut template = SpeechTemplate::new(self.tenant.clone());
        template.set_voice(settings.voice);
        template.speed = settings.speed;
        let sentences = SentenceQueue::new(self.app.clone(), self.peer, template);
        Ok(SpeechContext::new(id.to_owned(), settings, timestamps, sentences))
    }

    /// Sends the messages for a part of a context's speech, and moves the context behind the others.
    async fn deliver(&mut self, place: usize, part: Result<SpokenPart, Problem>) -> Result<(), SessionEnd> {
        let Some(context) = self.contexts.get_mut(place) else { return Ok(()) };
        let id = context.id().to_owned();
        let messages = part.and_then(|part| context.messages(part));
        let is_over = context.is_over();
        self.contexts.rotate_left(place + 1);
        if messages.is_err() || is_over {
            self.end(&id);
        }
        match messages {
            Ok(messages) => {
                for message in &messages {
                    self.socket.tell(message).await?;
                }
                Ok(())
            }
            Err(problem) => self.tell_error(Some(&id), &problem).await,
        }
    }

    /// Ends a context, and remembers its name.
    fn end(&mut self, id: &str) {
        self.contexts.retain(|context| context.id() != id);
        if self.ended.iter().any(|ended| ended == id) {
            return;
        }
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(id.to_owned());
    }

    async fn tell_error(&mut self, id: Option<&str>, problem: &Problem) -> Result<(), SessionEnd> {
        problem.report(&self.request_id);
        let mut error = problem.cartesia_document(&self.request_id);
        error["type"] = "error".into();
        error["done"] = false.into();
        // Pipecat reads this member of every message.
        error["context_id"] = id.into();
        self.socket.tell(&error).await
    }
}

/// Reads the name of a context.
fn context_id<'a>(message: &MessageFields<'a>) -> Result<&'a str, Invalid> {
    let Some(id) = message.string("context_id")? else { return Err(message.missing("context_id", "a string")) };
    if ID_BYTES.allows(id.len() as u64) {
        return Ok(id);
    }
    Err(Invalid::outside("context_id", format!("a name of {} bytes", id.len()), &ID_BYTES))
}
