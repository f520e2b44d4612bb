//! `WS /v1/text-to-speech/{voice}/multi-stream-input`: many contexts, text in pieces in, audio out.
//!
//! | the caller sends | gets |
//! |---|---|
//! | `text` with a `context_id` | messages with `audio`, as soon as a sentence is whole; its times |
//! | `flush` | the rest |
//! | `close_context` behind a flush | the rest, then `isFinal` |
//! | `close_context` otherwise, or again | `isFinal`; nothing more of the context |
//! | `close_socket` | the rest and `isFinal` of each context, then the close |
//!
//! A refusal is an `error`. A context whose speech fails, or whose text cannot be taken, gets an
//! `error` and no `isFinal`. Clients that read no errors notice a close, so the socket is closed as
//! soon as the other contexts have nothing more to say.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::ws::close_code;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use csm_shared::job::Invalid;
use csm_shared::job::limits::{Limit, TEXT_CHARS};
use csm_shared::process::connections::Peer;
use serde_json::Value;

use super::context::SpeechContext;
use super::message::{self, ClientMessage, ContextId, Refused};
use super::options::SpeechOptions;
use crate::app::App;
use crate::http::Problem;
use crate::sentence_queue::{SentenceQueue, SpokenPart, next_of_any};
use crate::sockets::{SessionEnd, Socket, SocketUpgrade, TEXT_MESSAGE_MAX, shutdown};
use crate::speech_template::SpeechTemplate;

/// Contexts of one socket at a time.
const CONTEXTS: Limit = Limit { min: 0, max: 32, unit: "contexts on one socket", status: 429 };
/// Characters of the waiting texts of all contexts together.
const WAITING_CHARS: Limit =
    Limit { min: 0, max: 100_000, unit: "characters that wait on one socket", status: TEXT_CHARS.status };
/// End of a socket on which a speech has failed.
const FAILED: SessionEnd = SessionEnd::Closed(close_code::ERROR, "a speech failed");
/// End of a socket on which a text was not taken.
const REFUSED: SessionEnd = SessionEnd::Closed(close_code::POLICY, "a text was refused");
/// End that the caller has asked for.
const ASKED: SessionEnd = SessionEnd::Closed(close_code::NORMAL, "closed as asked");

/// Opens a socket.
pub(crate) async fn speech_socket(
    State(app): State<App>,
    Path(voice): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: SocketUpgrade,
) -> Result<Response, Problem> {
    let options = SpeechOptions::read(&voice, &query)?;
    let (peer, request_id) = (upgrade.peer, upgrade.request_id.clone());
    let template = options.template(upgrade.tenant.clone())?;
    upgrade.open(TEXT_MESSAGE_MAX, move |socket| {
        let contexts = Vec::new();
        SpeechSession { socket, app, peer, request_id, options, template, contexts, messages: 0, ending: None }.run()
    })
}

struct SpeechSession {
    socket: Socket,
    app: App,
    peer: Peer,
    request_id: String,
    options: SpeechOptions,
    template: SpeechTemplate,
    /// Contexts, the one whose turn is next in front.
    contexts: Vec<SpeechContext>,
    /// Messages so far.
    messages: u64,
    /// End of the socket once nothing is spoken.
    ending: Option<SessionEnd>,
}

impl SpeechSession {
    /// Serves until the caller or the gateway leaves.
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        self.contexts.clear();
        self.socket.close(end).await;
    }

    async fn serve(&mut self) -> Result<Infallible, SessionEnd> {
        loop {
            while let Some(place) = self.over() {
                self.end_context(place).await?;
            }
            let idle = self.contexts.iter().all(|context| context.sentences.is_idle());
            if let Some(end) = self.ending.filter(|_| idle) {
                return Err(end);
            }
            let speaking = self.contexts.iter_mut().map(|context| &mut context.sentences);
            tokio::select! {
                biased;
                end = shutdown(&self.app, idle) => return Err(end),
                message = self.socket.recv_json() => match message? {
                    Ok(message) => self.handle(&message).await?,
                    Err(invalid) => self.refuse(&None, invalid).await?,
                },
                (place, part) = next_of_any(speaking) => self.deliver(place, part).await?,
            }
        }
    }

    /// Returns the place of a context that is over.
    fn over(&self) -> Option<usize> {
        self.contexts.iter().position(SpeechContext::is_over)
    }

    /// Returns the place of the context that rests longest.
    fn resting_longest(&self) -> Option<usize> {
        let resting = self.contexts.iter().enumerate().filter(|(_, context)| context.is_resting());
        resting.min_by_key(|(_, context)| context.used()).map(|(place, _)| place)
    }

    /// Handles a message.
    async fn handle(&mut self, message: &Value) -> Result<(), SessionEnd> {
        let message = match ClientMessage::read(message) {
            Ok(message) => message,
            Err(Refused(context, invalid)) => {
                self.socket.count_unreadable()?;
                return self.refuse(&context, invalid).await;
            }
        };
        self.messages += 1;
        if message.close_socket {
            return self.close_socket().await;
        }
        let place = self.contexts.iter().position(|context| context.id == message.context);
        if message.close_context {
            return self.close_context(place, &message.context).await;
        }
        let place = match place {
            Some(place) => place,
            // A sign of life, or a flush of nothing.
            None if message.text.is_empty() => return Ok(()),
            None => match self.open_context(&message).await? {
                Some(place) => place,
                None => return Ok(()),
            },
        };
        self.take(place, &message).await
    }

    /// Gives a message to its context.
    async fn take(&mut self, place: usize, message: &ClientMessage) -> Result<(), SessionEnd> {
        let waiting: u64 = self.contexts.iter().map(|context| context.sentences.waiting_chars()).sum();
        let waiting = waiting + message.text.chars().count() as u64;
        let Some(context) = self.contexts.get_mut(place) else { return Ok(()) };
        if context.is_failed() {
            return Ok(());
        }
        if !context.is_open() {
            if message.text.trim().is_empty() {
                return Ok(());
            }
            let id = message.context.as_deref().unwrap_or("(none)");
            let closed = Invalid::malformed("context_id", id, "a context that is not closed");
            return self.refuse(&message.context, closed).await;
        }
        context.touch(self.messages);
        let taken = match WAITING_CHARS.allows(waiting) {
            true => context.take(&message.text, message.flush),
            false => Err(Invalid::outside("text", waiting, &WAITING_CHARS)),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(invalid) => self.fail(place, &invalid.into(), REFUSED).await,
        }
    }

    /// Opens a context, and returns its place; `None` if there are too many, as the caller was told.
    /// The context that rests longest makes room.
    async fn open_context(&mut self, message: &ClientMessage) -> Result<Option<usize>, SessionEnd> {
        if !CONTEXTS.allows(self.contexts.len() as u64 + 1) {
            let Some(place) = self.resting_longest() else {
                let number = self.contexts.len() + 1;
                self.refuse(&message.context, Invalid::outside("context_id", number, &CONTEXTS)).await?;
                return Ok(None);
            };
            self.end_context(place).await?;
        }
        let mut template = self.template.clone();
        if let Some(speed) = message.speed {
            template.speed = speed;
        }
        let sentences = SentenceQueue::new(self.app.clone(), self.peer, template);
        self.contexts.push(SpeechContext::new(message.context.clone(), sentences, &self.options));
        Ok(Some(self.contexts.len() - 1))
    }

    async fn close_context(&mut self, place: Option<usize>, id: &ContextId) -> Result<(), SessionEnd> {
        let Some((place, context)) = place.and_then(|place| Some((place, self.contexts.get_mut(place)?))) else {
            return self.socket.tell(&message::last(id)).await;
        };
        if context.is_failed() {
            return Ok(());
        }
        match context.close() {
            Ok(true) => Ok(()),
            Ok(false) => self.end_context(place).await,
            Err(invalid) => self.fail(place, &invalid.into(), REFUSED).await,
        }
    }

    /// Lets everything be spoken, and closes the socket behind it.
    async fn close_socket(&mut self) -> Result<(), SessionEnd> {
        self.ending.get_or_insert(ASKED);
        for place in 0..self.contexts.len() {
            let closed = self.contexts.get_mut(place).map_or(Ok(()), SpeechContext::close_behind_all);
            if let Err(invalid) = closed {
                self.fail(place, &invalid.into(), REFUSED).await?;
            }
        }
        Ok(())
    }

    /// Removes a context, and with it what is spoken of it.
    async fn end_context(&mut self, place: usize) -> Result<(), SessionEnd> {
        let context = self.contexts.remove(place);
        self.socket.tell(&message::last(&context.id)).await
    }

    /// Sends a part, and moves its context behind the others.
    async fn deliver(&mut self, place: usize, part: Result<SpokenPart, Problem>) -> Result<(), SessionEnd> {
        let Some(context) = self.contexts.get_mut(place) else { return Ok(()) };
        match part.and_then(|part| context.message(part)) {
            Ok(message) => {
                self.contexts.rotate_left(place + 1);
                match message {
                    Some(message) => self.socket.tell(&message).await,
                    None => Ok(()),
                }
            }
            Err(problem) => self.fail(place, &problem, FAILED).await,
        }
    }

    /// Ends a context that has failed. Nothing of it follows.
    async fn fail(&mut self, place: usize, problem: &Problem, end: SessionEnd) -> Result<(), SessionEnd> {
        let Some(context) = self.contexts.get_mut(place) else { return Ok(()) };
        context.fail();
        self.ending = Some(end);
        problem.report(&self.request_id);
        let code = if end == FAILED { close_code::ERROR } else { close_code::POLICY };
        self.socket.tell(&message::error(&context.id, problem, code)).await
    }

    /// Tells the caller that a message was not taken.
    async fn refuse(&mut self, context: &ContextId, invalid: Invalid) -> Result<(), SessionEnd> {
        let problem = Problem::from(invalid);
        problem.report(&self.request_id);
        self.socket.tell(&message::error(context, &problem, close_code::POLICY)).await
    }
}
