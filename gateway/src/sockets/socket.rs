//! Open WebSocket with its limits: the size, pace, rate and memory of messages, the time of a send,
//! and the silence of a caller.
//!
//! A caller who sends more than a burst is read at a rate that few sockets cannot turn into the work
//! of a core. The rest waits in TCP.
//!
//! A [`SocketMeter`] charges each message to the memory of all requests while it arrives, and ends
//! sockets whose messages come too slowly.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, close_code};
use csm_shared::job::Invalid;
use serde_json::Value;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use crate::http::problem::echoed;
use crate::resources::{MemoryGrant, SocketMeter};

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
/// Bytes that a caller may send at once.
const BURST_BYTES: u64 = 256 * 1_024;
/// Bytes a second that are read behind a burst. A text is spoken far more slowly.
const READ_RATE: u64 = 128 * 1_024;
/// Bytes that a message counts beyond its own: its head, and the work of any message.
const MESSAGE_BYTES: u64 = 128;
/// Longest pause behind a message, however large.
const READ_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Messages that cannot be read, after which the socket is closed.
const UNREADABLE_MAX: u32 = 20;

/// Reason why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The caller left, fell silent, or takes nothing.
    Gone,
    /// A message was over the limit.
    TooLarge,
    /// A message came too slowly.
    TooSlow,
    /// Others held the memory for a message.
    NoMemory,
    /// Too many messages could not be read.
    Unreadable,
    /// A text message is no UTF-8.
    NoUtf8,
    /// A frame breaks the rules of WebSockets.
    BadFrame,
    /// The gateway shuts down.
    Restart,
    /// Code and reason of the protocol's own close.
    Closed(CloseCode, &'static str),
}

impl SessionEnd {
    /// Returns code and reason of the close frame; `None` if the caller is gone.
    const fn close(self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Gone => None,
            Self::TooLarge => Some((close_code::SIZE, "the message is larger than is taken")),
            Self::TooSlow => Some((close_code::POLICY, "the message comes too slowly")),
            Self::NoMemory => Some((close_code::AGAIN, "too much is in progress; try again")),
            Self::Unreadable => Some((close_code::POLICY, "too many messages cannot be read")),
            Self::NoUtf8 => Some((close_code::INVALID, "a text message is not UTF-8")),
            Self::BadFrame => Some((close_code::PROTOCOL, "a frame breaks the rules of RFC 6455")),
            Self::Restart => Some((close_code::RESTART, "this gateway is shutting down; connect again")),
            Self::Closed(code, reason) => Some((code, reason)),
        }
    }
}

/// Message of the caller.
pub(crate) struct Received {
    /// Bytes of the message.
    pub(crate) bytes: Bytes,
    /// Memory of the message; whoever works on the bytes keeps it.
    pub(crate) memory: MemoryGrant,
    /// True for a text message, false for a binary one.
    pub(crate) is_text: bool,
}

/// Open socket of a caller.
pub(crate) struct Socket {
    inner: WebSocket,
    meter: Arc<SocketMeter>,
    /// Time of the last message, pongs included.
    heard: Instant,
    /// Time from which on the socket is read again.
    read_from: Instant,
    ping: Interval,
    pace_check: Interval,
    allowance: ReadAllowance,
    /// Messages that could not be read.
    unreadable: u32,
}

/// Bytes that a caller may still send before its socket is left unread for a moment.
struct ReadAllowance {
    /// Bytes of the last messages that the rate has not covered yet.
    owed: u64,
    since: Instant,
}

impl ReadAllowance {
    /// Counts a message of `bytes`. Returns the time at which the next one may be read.
    fn count(&mut self, bytes: usize, now: Instant) -> Instant {
        let earned = READ_RATE * now.saturating_duration_since(self.since).as_millis() as u64 / 1_000;
        self.owed = self.owed.saturating_sub(earned) + bytes as u64 + MESSAGE_BYTES;
        let over = self.owed.saturating_sub(BURST_BYTES);
        self.owed -= over;
        self.since = now + Duration::from_millis(over * 1_000 / READ_RATE).min(READ_PAUSE_MAX);
        self.since
    }
}

impl Socket {
    /// Makes the socket whose reads `meter` counts.
    pub(super) fn new(inner: WebSocket, meter: Arc<SocketMeter>) -> Self {
        let every = |pause| {
            let mut interval = interval_at(Instant::now() + pause, pause);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (ping, pace_check) = (every(PING_EVERY), every(PACE_CHECK_EVERY));
        let now = Instant::now();
        let allowance = ReadAllowance { owed: 0, since: now };
        Self { inner, meter, heard: now, read_from: now, ping, pace_check, allowance, unreadable: 0 }
    }

    /// Returns the caller's next message. Nothing is lost if the call is dropped.
    pub(crate) async fn recv(&mut self) -> Result<Received, SessionEnd> {
        self.listen(true).await
    }

    /// Returns the caller's next message if `read` is true. Otherwise messages wait in TCP, and the
    /// call only keeps the connection alive until the session ends.
    pub(crate) async fn listen(&mut self, read: bool) -> Result<Received, SessionEnd> {
        loop {
            let waits = Instant::now() < self.read_from;
            tokio::select! {
                received = self.inner.recv(), if read && !waits => {
                    if let Some(message) = self.sort(received)? {
                        return Ok(message);
                    }
                }
                () = sleep_until(self.read_from), if read && waits => {}
                _ = self.ping.tick() => self.probe(read).await?,
                _ = self.pace_check.tick() => self.check_pace()?,
            }
        }
    }

    /// Returns the caller's next message as JSON, or the reason why it is none.
    ///
    /// # Errors
    /// [`SessionEnd::Unreadable`] at the last of too many messages that are no JSON.
    pub(crate) async fn recv_json(&mut self) -> Result<Result<Value, Invalid>, SessionEnd> {
        let Received { bytes, is_text, memory: _held_until_read } = self.recv().await?;
        let malformed = |value: &str, expected: String| Invalid::malformed("(message)", value, expected);
        let parsed = match is_text {
            true => serde_json::from_slice::<Value>(&bytes)
                .map_err(|error| malformed(&echoed(&String::from_utf8_lossy(&bytes)), format!("JSON ({error})"))),
            false => Err(malformed("(binary)", "JSON in a text message".to_owned())),
        };
        let parsed = parsed.and_then(|value| match value.is_object() {
            true => Ok(value),
            false => Err(malformed(&echoed(&value.to_string()), "a JSON object".to_owned())),
        });
        if parsed.is_err() {
            self.count_unreadable()?;
        }
        Ok(parsed)
    }

    /// Counts a message that could not be read.
    ///
    /// # Errors
    /// [`SessionEnd::Unreadable`] if there were too many.
    pub(crate) const fn count_unreadable(&mut self) -> Result<(), SessionEnd> {
        self.unreadable += 1;
        if self.unreadable > UNREADABLE_MAX { Err(SessionEnd::Unreadable) } else { Ok(()) }
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), SessionEnd> {
        match timeout(SEND_LIMIT, self.inner.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SessionEnd::Gone),
        }
    }

    /// Sends JSON in a text message.
    pub(crate) async fn tell(&mut self, message: &Value) -> Result<(), SessionEnd> {
        self.send(Message::Text(message.to_string().into())).await
    }

    /// Closes the socket with the code of `end`, unless the caller is gone.
    pub(crate) async fn close(mut self, end: SessionEnd) {
        let Some((code, reason)) = end.close() else { return };
        let frame = CloseFrame { code, reason: reason.into() };
        if self.send(Message::Close(Some(frame))).await.is_ok() {
            // If the connection were cut at once, it could break before the caller reads the frame.
            let _ = timeout(CLOSE_LIMIT, async { while let Some(Ok(_)) = self.inner.recv().await {} }).await;
            if matches!(end, SessionEnd::TooLarge | SessionEnd::NoUtf8 | SessionEnd::BadFrame) {
                // Behind such a message the socket cannot be read: the caller's answer goes unnoticed.
                tokio::time::sleep(CLOSE_LIMIT).await;
            }
        }
    }

    /// Returns a message that is a request. A ping or pong only counts as a sign of life; anything
    /// else ends the session.
    fn sort(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<Option<Received>, SessionEnd> {
        self.heard = Instant::now();
        match received {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                let (is_text, bytes) = (matches!(message, Message::Text(_)), message.into_data());
                self.read_from = self.allowance.count(bytes.len(), self.heard);
                Ok(Some(Received { bytes, memory: self.meter.end_message(), is_text }))
            }
            Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                self.meter.skip_control(payload.len());
                Ok(None)
            }
            Some(Err(error)) => Err(end_of(&error)),
            Some(Ok(Message::Close(_))) | None => Err(SessionEnd::Gone),
        }
    }

    /// Sends a ping, or ends the session of a silent caller.
    async fn probe(&mut self, read: bool) -> Result<(), SessionEnd> {
        if !read {
            // The socket is not read, so a pong would go unnoticed.
            self.heard = Instant::now();
        }
        if self.heard.elapsed() > SILENCE_MAX {
            return Err(SessionEnd::Gone);
        }
        self.send(Message::Ping(Bytes::new())).await
    }

    /// Ends the session if a message comes too slowly, or if there is no memory for it.
    fn check_pace(&self) -> Result<(), SessionEnd> {
        if self.meter.is_starved() {
            return Err(SessionEnd::NoMemory);
        }
        if self.meter.is_too_slow() { Err(SessionEnd::TooSlow) } else { Ok(()) }
    }
}

/// Returns the end of a session whose socket cannot be read.
fn end_of(error: &axum::Error) -> SessionEnd {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match error.source().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::Capacity(_)) => SessionEnd::TooLarge,
        Some(Error::Utf8(_)) => SessionEnd::NoUtf8,
        Some(Error::Protocol(fault)) if *fault != ResetWithoutClosingHandshake => SessionEnd::BadFrame,
        _ => SessionEnd::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_more_at_a_rate() {
        let begun = Instant::now();
        let mut allowance = ReadAllowance { owed: 0, since: begun };
        let mut count = |bytes, ms| {
            let now = begun + Duration::from_millis(ms);
            (allowance.count(bytes, now) - now).as_millis()
        };
        assert_eq!(count(200_000, 0), 0);
        assert_eq!(count(60_000, 0), 0, "still the burst");
        assert!((440..=450).contains(&count(60_000 - 128, 0)), "as long as it takes at the rate");
        assert_eq!(count(24 << 20, 10_000), 1_000, "never longer than that");
        assert_eq!(count(1_000, 12_500), 0, "rest restores the burst");
    }
}
