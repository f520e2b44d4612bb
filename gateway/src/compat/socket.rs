//! Open WebSocket: for each JSON request one binary WAV file, or one JSON problem. A caller who
//! asked for receipts gets a JSON summary after each file. A request with `"stream": true` is
//! answered with binary pieces of one WAV while it is made, and a JSON summary that ends them. If the
//! speech fails behind its first piece, a JSON problem stands in the summary's place.
//!
//! A socket has one job at a time, in the order of its requests. During a job a single further
//! message is taken off the socket, so that the departure of the caller is noticed. More messages
//! wait in TCP.

use std::convert::Infallible;

use axum::extract::ws::Message;
use csm_formats::StreamEncoder;
use csm_shared::job::{AudioFormat, InputWarnings, Tenant};
use csm_shared::process::connections::Peer;

use super::request::read_message;
use super::result_summary::ResultSummary;
use crate::app::App;
use crate::caller::Caller;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::live_audio::{LiveAudio, LivePart};
use crate::sockets::{Received, SessionEnd, Socket};
use crate::stored_audio::{StoredAudio, WholeAudio};
use crate::submit::parse_and_check_some;
use crate::wait::{FinishedJob, submit_and_wait};

/// Session of a caller.
pub(crate) struct Session {
    app: App,
    origin: SessionOrigin,
    /// Message that came while another one was being answered.
    next: Option<BufferedBody>,
}

/// Answer to a request.
enum Answer {
    /// File, with the summary behind it.
    Whole(WholeAudio, Option<String>),
    /// Audio that is sent while it is made, with the warnings about its request.
    Live(LiveAudio, InputWarnings),
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
    /// Makes a session.
    pub(crate) const fn new(app: App, origin: SessionOrigin) -> Self {
        Self { app, origin, next: None }
    }

    /// Serves until the caller or the gateway leaves.
    pub(crate) async fn run(mut self, mut socket: Socket) {
        let Err(end) = self.serve(&mut socket).await;
        socket.close(end).await;
    }

    async fn serve(&mut self, socket: &mut Socket) -> Result<Infallible, SessionEnd> {
        loop {
            let request = self.next_request(socket).await?;
            self.answer(socket, request).await?;
        }
    }

    async fn next_request(&mut self, socket: &mut Socket) -> Result<BufferedBody, SessionEnd> {
        if let Some(message) = self.next.take().filter(|_| !self.app.stop.is_cancelled()) {
            return Ok(message);
        }
        tokio::select! {
            biased;
            () = self.app.stop.cancelled() => Err(SessionEnd::Restart),
            received = socket.recv() => received.map(body),
        }
    }

    /// Answers one request. If the caller leaves, the work is dropped, which cancels the job.
    async fn answer(&mut self, socket: &mut Socket, request: BufferedBody) -> Result<(), SessionEnd> {
        let (app, peer, caller) = (self.app.clone(), self.origin.peer, Caller::new(self.origin.tenant.clone()));
        let receipts = self.origin.receipts;
        let work = Box::pin(async move {
            let (checked, stream) = parse_and_check_some(&app, request, read_message, caller).await?;
            let checked = checked.ok_or_else(|| Problem::internal("a message became no job"))?;
            let warnings = checked.job_request.ticket.warnings.clone();
            if stream {
                let audio = LiveAudio::submit(&app, checked, peer).await?;
                return Ok(Answer::Live(audio, warnings));
            }
            let finished = submit_and_wait(&app, checked).await?;
            let FinishedJob { job, receipt } = &finished;
            let audio = StoredAudio::of(&app, peer, *job, receipt)?.whole().await?;
            let summary = receipts.then(|| serde_json::to_string(&ResultSummary::of(&finished, warnings)));
            Ok(Answer::Whole(audio, summary.and_then(Result::ok)))
        });
        let answer = self.while_listening(socket, work).await?;
        let (audio, summary) = match answer {
            Ok(Answer::Whole(audio, summary)) => (audio, summary),
            Ok(Answer::Live(audio, warnings)) => return self.stream(socket, audio, warnings).await,
            Err(problem) => return self.refuse(socket, &problem).await,
        };
        let WholeAudio { bytes, memory: _held_until_sent } = audio;
        socket.send(Message::Binary(bytes)).await?;
        match summary {
            Some(summary) => socket.send(Message::Text(summary.into())).await,
            None => Ok(()),
        }
    }

    /// Waits for some work. If the caller leaves, the work is dropped.
    async fn while_listening<T>(
        &mut self,
        socket: &mut Socket,
        mut work: impl Future<Output = T> + Unpin,
    ) -> Result<T, SessionEnd> {
        loop {
            tokio::select! {
                result = &mut work => return Ok(result),
                received = socket.listen(self.next.is_none()) => self.next = Some(body(received?)),
            }
        }
    }

    /// Sends audio while it is made: pieces of one WAV, then the summary that ends them.
    async fn stream(
        &mut self,
        socket: &mut Socket,
        mut audio: LiveAudio,
        warnings: InputWarnings,
    ) -> Result<(), SessionEnd> {
        let mut encoder = match StreamEncoder::new(AudioFormat::Wav, 0) {
            Ok(encoder) => encoder,
            Err(error) => return self.refuse(socket, &Problem::internal(error)).await,
        };
        loop {
            let coded = match self.while_listening(socket, Box::pin(audio.next())).await? {
                Ok(LivePart::Samples(samples)) => encoder.push(&samples),
                Ok(LivePart::End(receipt)) => {
                    let finished = FinishedJob { job: audio.job(), receipt };
                    let rest = encoder.finish().unwrap_or_default();
                    if !rest.is_empty() {
                        socket.send(Message::Binary(rest.into())).await?;
                    }
                    let end = ResultSummary::of(&finished, warnings).end_of_stream(finished.receipt.samples);
                    return socket.send(Message::Text(end.into())).await;
                }
                Err(problem) => return self.refuse(socket, &problem).await,
            };
            match coded {
                Ok(bytes) => socket.send(Message::Binary(bytes.into())).await?,
                Err(error) => return self.refuse(socket, &Problem::internal(error)).await,
            }
        }
    }

    async fn refuse(&self, socket: &mut Socket, problem: &Problem) -> Result<(), SessionEnd> {
        socket.send(Message::Text(problem.to_message(&self.origin.request_id).into())).await
    }
}

fn body(received: Received) -> BufferedBody {
    BufferedBody { bytes: received.bytes, memory: received.memory }
}
