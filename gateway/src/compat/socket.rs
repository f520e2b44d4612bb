//! Open WebSocket: for each JSON request one binary WAV file, or one JSON problem. A caller who
//! asked for receipts gets a JSON summary after each file. A request with `"stream": true` is
//! answered with binary pieces of one WAV while it is made, and a JSON summary that ends them. If the
//! speech fails behind its first piece, a JSON problem stands in the summary's place.
//!
//! A socket has one job at a time, in the order of its requests. During a job a single further
//! message is taken off the socket, so that the departure of the caller is noticed. More messages
//! wait in TCP. A [`SocketMeter`] charges each message to the memory of all requests while it
//! arrives, and ends sockets whose messages come too slowly.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, close_code};
use csm_formats::StreamEncoder;
use csm_shared::job::{AudioFormat, Tenant};
use csm_shared::process::connections::Peer;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::request::read_message;
use super::result_summary::ResultSummary;
use crate::app::App;
use crate::caller::Caller;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::live_audio::{LiveAudio, LivePart};
use crate::resources::SocketMeter;
use crate::stored_audio::{StoredAudio, WholeAudio};
use crate::submit::parse_and_check_some;
use crate::wait::{FinishedJob, submit_and_wait};

/// Pause between two pings.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Silence, pongs included, after which a caller counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(70);
/// Longest time for the caller to take one message.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at the pace of an unfinished message.
const PACE_CHECK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the caller's answer to a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Reason why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    /// The caller left or fell silent.
    Gone,
    /// A message was over the limit.
    TooLarge,
    /// A message came too slowly.
    TooSlow,
    /// Others held the memory for a message.
    NoMemory,
    /// The gateway shuts down.
    Restart,
}

impl SessionEnd {
    /// Returns code and reason of the close frame; `None` if the caller is gone.
    const fn close(self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Gone => None,
            Self::TooLarge => Some((close_code::SIZE, "the message is larger than is taken")),
            Self::TooSlow => Some((close_code::POLICY, "the message comes too slowly")),
            Self::NoMemory => Some((close_code::AGAIN, "too much is in progress; try again")),
            Self::Restart => Some((close_code::RESTART, "this gateway is shutting down; connect again")),
        }
    }
}

/// Open socket of a caller.
pub(crate) struct Session {
    socket: WebSocket,
    app: App,
    origin: SessionOrigin,
    meter: Arc<SocketMeter>,
    /// Message that came while another one was being answered.
    next: Option<BufferedBody>,
    /// Time of the last message, pongs included.
    heard: Instant,
    ping: Interval,
    pace_check: Interval,
}

/// Answer to a request.
enum Answer {
    /// File, with the summary behind it.
    Whole(WholeAudio, Option<String>),
    /// Audio that is sent while it is made.
    Live(LiveAudio),
}

/// Origin of a session.
pub(crate) struct SessionOrigin {
    /// Tenant of the session's jobs.
    pub(crate) tenant: Tenant,
    /// Other end of the connection.
    pub(crate) peer: Peer,
    /// Id of the request that opened the socket; the session's problems carry it.
    pub(crate) request_id: String,
    /// Whether a summary follows each file.
    pub(crate) receipts: bool,
}

impl Session {
    /// Makes the session of a socket whose reads `meter` counts.
    pub(crate) fn new(socket: WebSocket, app: App, origin: SessionOrigin, meter: Arc<SocketMeter>) -> Self {
        let every = |pause| {
            let mut interval = interval_at(Instant::now() + pause, pause);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (ping, pace_check) = (every(PING_EVERY), every(PACE_CHECK_EVERY));
        Self { socket, app, origin, meter, next: None, heard: Instant::now(), ping, pace_check }
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

    async fn next_request(&mut self) -> Result<BufferedBody, SessionEnd> {
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
                _ = self.pace_check.tick() => self.check_pace()?,
            }
        }
    }

    /// Answers one request. If the caller leaves, the work is dropped, which cancels the job.
    async fn answer(&mut self, request: BufferedBody) -> Result<(), SessionEnd> {
        let (app, peer, caller) = (self.app.clone(), self.origin.peer, Caller::new(self.origin.tenant.clone()));
        let receipts = self.origin.receipts;
        let work = Box::pin(async move {
            let (checked, stream) = parse_and_check_some(&app, request, read_message, caller).await?;
            let checked = checked.ok_or_else(|| Problem::internal("a message became no job"))?;
            if stream {
                return LiveAudio::submit(&app, checked, peer).await.map(Answer::Live);
            }
            let finished = submit_and_wait(&app, checked).await?;
            let FinishedJob { job, receipt } = &finished;
            let audio = StoredAudio::of(&app, peer, *job, receipt)?.whole().await?;
            let summary = receipts.then(|| serde_json::to_string(&ResultSummary::of(&finished)));
            Ok(Answer::Whole(audio, summary.and_then(Result::ok)))
        });
        let answer = self.while_listening(work).await?;
        let (audio, summary) = match answer {
            Ok(Answer::Whole(audio, summary)) => (audio, summary),
            Ok(Answer::Live(audio)) => return self.stream(audio).await,
            Err(problem) => return self.refuse(&problem).await,
        };
        let WholeAudio { bytes, memory: _held_until_sent } = audio;
        self.send(Message::Binary(bytes)).await?;
        match summary {
            Some(summary) => self.send(Message::Text(summary.into())).await,
            None => Ok(()),
        }
    }

    /// Waits for some work. If the caller leaves, the work is dropped.
    async fn while_listening<T>(&mut self, mut work: impl Future<Output = T> + Unpin) -> Result<T, SessionEnd> {
        loop {
            tokio::select! {
                result = &mut work => return Ok(result),
                received = self.socket.recv(), if self.next.is_none() => self.next = self.sort(received)?,
                _ = self.ping.tick() => self.probe().await?,
                _ = self.pace_check.tick() => self.check_pace()?,
            }
        }
    }

    /// Sends audio while it is made: pieces of one WAV, then the summary that ends them.
    async fn stream(&mut self, mut audio: LiveAudio) -> Result<(), SessionEnd> {
        let mut encoder = match StreamEncoder::new(AudioFormat::Wav, 0) {
            Ok(encoder) => encoder,
            Err(error) => return self.refuse(&Problem::internal(error)).await,
        };
        loop {
            let coded = match self.while_listening(Box::pin(audio.next())).await? {
                Ok(LivePart::Samples(samples)) => encoder.push(&samples),
                Ok(LivePart::End(receipt)) => {
                    let finished = FinishedJob { job: audio.job(), receipt };
                    let rest = encoder.finish().unwrap_or_default();
                    if !rest.is_empty() {
                        self.send(Message::Binary(rest.into())).await?;
                    }
                    let end = ResultSummary::of(&finished).end_of_stream(finished.receipt.samples);
                    return self.send(Message::Text(end.into())).await;
                }
                Err(problem) => return self.refuse(&problem).await,
            };
            match coded {
                Ok(bytes) => self.send(Message::Binary(bytes.into())).await?,
                Err(error) => return self.refuse(&Problem::internal(error)).await,
            }
        }
    }

    async fn refuse(&mut self, problem: &Problem) -> Result<(), SessionEnd> {
        self.send(Message::Text(problem.to_message(&self.origin.request_id).into())).await
    }

    /// Returns a message that is a request. A ping or pong only counts as a sign of life; anything
    /// else ends the session.
    fn sort(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<Option<BufferedBody>, SessionEnd> {
        self.heard = Instant::now();
        match received {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                Ok(Some(BufferedBody { bytes: message.into_data(), memory: self.meter.end_message() }))
            }
            Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                self.meter.skip_control(payload.len());
                Ok(None)
            }
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

    /// Ends the session if a message comes too slowly, or if there is no memory for it.
    fn check_pace(&self) -> Result<(), SessionEnd> {
        if self.meter.is_starved() {
            return Err(SessionEnd::NoMemory);
        }
        if self.meter.is_too_slow() { Err(SessionEnd::TooSlow) } else { Ok(()) }
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
