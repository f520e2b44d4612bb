//! A job's server-sent events, followed to the end however often the connection is cut.
//!
//! Every event has an id `<attempt>-<sequence>`. A new connection names the last id seen
//! (`Last-Event-ID`). Events that arrive twice are dropped, so the caller sees each event once and
//! in order. In a stream with audio no sample may be missing: a gap is an error.

use std::pin::Pin;
use std::time::Duration;

use csm_queue::live::{Event, EventId, LiveEvent};
use eventsource_stream::Eventsource as _;
use futures::{Stream, StreamExt as _};
use reqwest::StatusCode;
use tokio::time::Instant;

use super::{ClientError, GatewayClient};

/// Connections in a row that may bring nothing new before the job is given up: about a minute,
/// enough for a gateway to restart.
const FRUITLESS_MAX: u32 = 30;
/// Age at which a connection counts as a success, even if no event came.
const CONNECTION_HELD_MIN: Duration = Duration::from_secs(10);
/// Pause before the first new connection; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause before a new connection.
const PAUSE_MAX: Duration = Duration::from_secs(2);

type Connection = Pin<Box<dyn Stream<Item = Result<eventsource_stream::Event, String>> + Send>>;

/// Returns the events of a job from its beginning; the last one is terminal. Polling may be
/// interrupted at any time.
pub(crate) fn follow(client: GatewayClient, id: String) -> impl Stream<Item = Result<Event, ClientError>> + Send {
    let follower = EventStreamFollower {
        client,
        id,
        cursor: EventCursor::default(),
        connection: None,
        opened: Instant::now(),
        fruitless: 0,
    };
    futures::stream::try_unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Ok(event.map(|event| (event, follower)))
    })
}

struct EventStreamFollower {
    client: GatewayClient,
    id: String,
    cursor: EventCursor,
    connection: Option<Connection>,
    opened: Instant,
    fruitless: u32,
}

impl EventStreamFollower {
    /// Returns the next event that was not seen before; `None` after the terminal one.
    async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while !self.cursor.ended {
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            match connection.next().await {
                Some(Ok(message)) => {
                    let Some(event) = read(&message)?.and_then(|event| self.cursor.take(event)) else { continue };
                    self.cursor.check_audio(&event)?;
                    self.fruitless = 0;
                    return Ok(Some(event));
                }
                Some(Err(cause)) => self.cut(&cause).await?,
                None => self.cut("the connection was closed").await?,
            }
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        self.opened = Instant::now();
        match self.client.open_events(&self.id, self.cursor.last).await {
            // Only a caller that has the last event is told so.
            Ok(response) if response.status() == StatusCode::NO_CONTENT => {
                let cause = "the gateway says that the end was sent".to_owned();
                Err(ClientError::Lost { id: self.id.clone(), cause })
            }
            Ok(response) => {
                let messages = response.bytes_stream().eventsource();
                self.connection = Some(Box::pin(messages.map(|message| message.map_err(|error| error.to_string()))));
                Ok(())
            }
            Err(error) if error.may_pass() => self.cut(&error.to_string()).await,
            Err(error) => Err(error),
        }
    }

    /// Waits before the next connection, or fails after too many fruitless ones.
    async fn cut(&mut self, cause: &str) -> Result<(), ClientError> {
        self.connection = None;
        self.fruitless = if self.opened.elapsed() >= CONNECTION_HELD_MIN { 1 } else { self.fruitless + 1 };
        if self.fruitless > FRUITLESS_MAX {
            return Err(ClientError::Lost { id: self.id.clone(), cause: cause.to_owned() });
        }
        tracing::debug!(job = %self.id, cause, "reconnecting event stream");
        tokio::time::sleep(pause(self.fruitless)).await;
        Ok(())
    }
}

/// Returns the pause after the given number of fruitless connections, 1 or more.
fn pause(fruitless: u32) -> Duration {
    let doublings = fruitless.saturating_sub(1).min(8);
    (PAUSE_FIRST * 2_u32.pow(doublings)).min(PAUSE_MAX)
}

/// Position in the event stream up to which the events were received.
#[derive(Debug, Default)]
struct EventCursor {
    last: Option<EventId>,
    ended: bool,
    /// Samples of live audio received.
    samples: u64,
}

impl EventCursor {
    /// Returns the event, unless it or a later one was received before.
    fn take(&mut self, heard: LiveEvent) -> Option<Event> {
        if self.ended || self.last.is_some_and(|last| heard.id <= last) {
            return None;
        }
        self.last = Some(heard.id);
        self.ended = heard.event.is_terminal();
        Some(heard.event)
    }

    /// Refuses an event that skips samples or repeats them.
    fn check_audio(&mut self, event: &Event) -> Result<(), ClientError> {
        let heard = self.samples;
        let gap =
            |next| ClientError::Unreadable(format!("live audio was heard to sample {heard} and goes on at {next}"));
        match event {
            Event::Progress { audio: Some(audio), .. } if audio.offset() == heard => self.samples = audio.end(),
            Event::Progress { audio: Some(audio), .. } => return Err(gap(audio.offset())),
            Event::Done { receipt } if heard > 0 && heard < receipt.samples => return Err(gap(receipt.samples)),
            _ => {}
        }
        Ok(())
    }
}

/// Parses one SSE message; `None` for a kind that this version does not know.
fn read(message: &eventsource_stream::Event) -> Result<Option<LiveEvent>, ClientError> {
    // Older gateways call the end without a result `error`.
    if !matches!(message.event.as_str(), "started" | "progress" | "done" | "no_result" | "error") {
        return Ok(None);
    }
    let event = serde_json::from_str(&message.data)
        .map_err(|error| ClientError::Unreadable(format!("{} event: {error}", message.event)))?;
    let id = message.id.parse().map_err(|error| ClientError::Unreadable(format!("event id: {error}")))?;
    Ok(Some(LiveEvent { id, event }))
}

#[cfg(test)]
mod tests;
