//! Open WebSocket: for each JSON request one binary WAV file, or one JSON problem. A caller who
//! asked for receipts gets a JSON summary after each file.
//!
//! A socket has one job at a time, in the order of its requests. During a job a single further
//! message is taken off the socket, so that the departure of the caller is noticed. More messages
//! wait in TCP.

use std::convert::Infallible;
use std::error::Error as _;
use std::time::Duration;

use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, close_code};
use csm_shared::job::Tenant;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::request::read;
use super::result_summary::ResultSummary;
use crate::app::App;
use crate::caller::Caller;
use crate::http::Problem;
use crate::submit::parse_and_check;
use crate::wait::wait_for_audio;

/// Pause between two pings.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Silence, pongs included, after which a caller counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(70);
/// Longest time for the caller to take one message.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for the caller's answer to a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Reason why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    /// The caller left or fell silent.
    Gone,
    /// A message was over the limit.
    TooLarge,
    /// The gateway shuts down.
    Restart,
}

impl SessionEnd {
    /// Returns code and reason of the close frame; `None` if the caller is gone.
    const fn close(self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Gone => None,
            Self::TooLarge => Some((close_code::SIZE, "the message is larger than is taken")),
            Self::Restart => Some((close_code::RESTART, "this gateway is shutting down; connect again")),
        }
    }
}

/// Open socket of a caller.
pub(crate) struct Session {
    socket: WebSocket,
    app: App,
    tenant: Tenant,
    request_id: String,
    /// Whether a summary follows each file.
    receipts: bool,
    /// Message that came while another one was being answered.
    next: Option<Message>,
    /// Time of the last message, pongs included.
    heard: Instant,
    ping: Interval,
}

impl Session {
    /// Makes the session of a tenant. Its problems carry the id of the request that opened it.
    pub(crate) fn new(socket: WebSocket, app: App, tenant: Tenant, request_id: String) -> Self {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, app, tenant, request_id, receipts: false, next: None, heard: Instant::now(), ping }
    }

    /// Makes a summary follow each file, if the caller asked for receipts.
    pub(crate) fn with_receipts(self, receipts: bool) -> Self {
        Self { receipts, ..self }
    }

    /// Serves until the caller or the gateway leaves.
    pub(crate) async fn run(mut self) {
        let Err(end) = self.serve().await;
        let Some((code, reason)) = end.close() else { return };
        let frame = CloseFrame { code, reason: reason.into() };
        if self.send(Message::Close(Some(frame))).await.is_ok() {
            // If the connection were cut at once, it could break before the caller reads the frame.
            let _ = timeout(CLOSE_LIMIT, async { while let Some(Ok(_)) = self.socket.recv().await {} }).await;
            if end == SessionEnd::TooLarge {
                tokio::time::sleep(CLOSE_LIMIT).await;
            }
        }
    }

    async fn serve(&mut self) -> Result<Infallible, SessionEnd> {
        loop {
            let request = self.next_request().await?;
            self.answer(request).await?;
        }
    }

    async fn next_request(&mut self) -> Result<Message, SessionEnd> {
        loop {
            if self.app.stop.is_cancelled() {
                return Err(SessionEnd::Restart);
            }
            if let Some(message) = self.next.take() {
                return Ok(message);
            }
            tokio::select! {
                () = self.app.stop.cancelled() => {}
                received = self.socket.recv() => self.next = self.sort(received)?,
                _ = self.ping.tick() => self.probe().await?,
            }
        }
    }

    /// Answers one request. If the caller leaves, the work is dropped, which cancels the job.
    async fn answer(&mut self, request: Message) -> Result<(), SessionEnd> {
        let (app, caller) = (self.app.clone(), Caller::new(self.tenant.clone()));
        let mut work = Box::pin(async move {
            let job_request = parse_and_check(&app, request.into_data(), read, caller).await?;
            wait_for_audio(&app, job_request).await
        });
        let result: Result<_, Problem> = loop {
            tokio::select! {
                result = &mut work => break result,
                received = self.socket.recv(), if self.next.is_none() => self.next = self.sort(received)?,
                _ = self.ping.tick() => self.probe().await?,
            }
        };
        let (answer, summary) = match result {
            Ok(finished) => {
                let summary = serde_json::to_string(&ResultSummary::of(&finished)).ok();
                (Message::Binary(finished.audio), summary.filter(|_| self.receipts))
            }
            Err(problem) => (Message::Text(problem.to_message(&self.request_id).into()), None),
        };
        self.send(answer).await?;
        match summary {
            Some(summary) => self.send(Message::Text(summary.into())).await,
            None => Ok(()),
        }
    }

    /// Returns a message that is a request. A ping or pong only counts as a sign of life; anything
    /// else ends the session.
    fn sort(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<Option<Message>, SessionEnd> {
        self.heard = Instant::now();
        match received {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => Ok(Some(message)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Err(error)) if is_too_large(&error) => Err(SessionEnd::TooLarge),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(SessionEnd::Gone),
        }
    }

    /// Sends a ping, or ends the session of a silent caller.
    async fn probe(&mut self) -> Result<(), SessionEnd> {
        // While a message waits the socket is not read, so a pong would go unnoticed.
        if self.next.is_none() && self.heard.elapsed() > SILENCE_MAX {
            return Err(SessionEnd::Gone);
        }
        self.send(Message::Ping(axum::body::Bytes::new())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), SessionEnd> {
        match timeout(SEND_LIMIT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SessionEnd::Gone),
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let inner = error.source().and_then(|inner| inner.downcast_ref::<tungstenite::Error>());
    matches!(inner, Some(tungstenite::Error::Capacity(_)))
}
