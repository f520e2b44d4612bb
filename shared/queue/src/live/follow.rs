//! The reading side: a job's events from any position in its stream to the end.

use std::time::Duration;

use futures::Stream;
use redis::streams::{StreamId, StreamRangeReply};

use super::subscriptions::{Subscription, Subscriptions};
use super::{EVENTS_MAX, Event, EventId, LiveEvent, READ_MAX, stream_key};
use crate::queue::{Queue, QueueError};
use crate::redis_client::RedisFault;
use csm_shared::job::JobId;

/// Longest pause between two reads, and so the longest delay after a lost wake-up.
const READ_AT_LEAST_EVERY: Duration = Duration::from_millis(250);
/// Reads without news before the job's record is checked for an end.
const QUIET_READS: u32 = 4;
/// Events fetched per step when searching backwards for the last live audio.
const LOOK_BACK: usize = 8;

impl Subscriptions {
    /// Returns the events after `after`, as they come, ending with the terminal one. Returns `None`
    /// if there is no such job.
    ///
    /// Live audio comes without a gap. The stream ends with an error if samples are missing between
    /// two events, or before the end.
    ///
    /// A follower leaves by dropping the stream.
    pub async fn follow(
        &self,
        queue: &Queue,
        job: JobId,
        after: EventId,
    ) -> Result<Option<impl Stream<Item = Result<LiveEvent, QueueError>> + Send + use<>>, QueueError> {
        // Subscribed before the first read, so that no event is missed between the two.
        let subscription = self.subscribe(&job);
        if queue.record(&job).await?.is_none() {
            return Ok(None);
        }
        let follower = Follower {
            subscription,
            key: stream_key(self.redis().prefix(), &job),
            subscriptions: self.clone(),
            queue: queue.clone(),
            job,
            last: after,
            heard: (after == EventId::START).then_some(0),
            ready: Vec::new().into_iter(),
            quiet: QUIET_READS,
            ended: false,
        };
        Ok(Some(futures::stream::unfold(follower, async |mut follower| {
            let next = follower.next().await.transpose()?;
            follower.ended |= next.is_err();
            Some((next, follower))
        })))
    }
}

struct Follower {
    subscription: Subscription,
    key: String,
    subscriptions: Subscriptions,
    queue: Queue,
    job: JobId,
    last: EventId,
    /// Samples of live audio up to `last`; `None` if not looked up yet.
    heard: Option<u64>,
    ready: std::vec::IntoIter<LiveEvent>,
    /// Reads without news since the last event or the last check of the record.
    quiet: u32,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<LiveEvent>, QueueError> {
        while !self.ended {
            if let Some(event) = self.ready.next() {
                return self.deliver(event).await.map(Some);
            }
            let batch = self.read().await?;
            if !batch.is_empty() {
                self.ready = batch.into_iter();
                self.quiet = 0;
                continue;
            }
            if self.quiet >= QUIET_READS {
                self.quiet = 0;
                if let Some(end) = self.end_by_record().await? {
                    // Events written since the read come before the end.
                    let batch = self.read().await?;
                    if batch.is_empty() {
                        return self.deliver(end).await.map(Some);
                    }
                    self.ready = batch.into_iter();
                    self.quiet = QUIET_READS;
                    continue;
                }
            }
            self.quiet += 1;
            // A wake-up and the timer both lead to a read.
            let _ = tokio::time::timeout(READ_AT_LEAST_EVERY, self.subscription.woken()).await;
        }
        Ok(None)
    }

    async fn deliver(&mut self, event: LiveEvent) -> Result<LiveEvent, QueueError> {
        match &event.event {
            Event::Progress { audio: Some(audio), .. } => {
                let heard = match self.heard {
                    Some(heard) => heard,
                    None => self.heard_before(event.id).await?,
                };
                if audio.offset() != heard {
                    return Err(gap(event.id, heard, audio.offset()));
                }
                self.heard = Some(audio.end());
            }
            Event::Done { receipt } if self.heard.is_some_and(|heard| (1..receipt.samples).contains(&heard)) => {
                return Err(gap(event.id, self.heard.unwrap_or_default(), receipt.samples));
            }
            _ => {}
        }
        self.last = event.id;
        self.ended = event.event.is_terminal();
        Ok(event)
    }

    /// Counts the samples of live audio in the events before `id`.
    async fn heard_before(&self, id: EventId) -> Result<u64, QueueError> {
        let mut before = id;
        for _ in 0..2 * EVENTS_MAX / LOOK_BACK {
            let mut command = redis::cmd("XREVRANGE");
            command.arg(&self.key).arg(format!("({before}")).arg("-").arg("COUNT").arg(LOOK_BACK);
            let reply: StreamRangeReply = self.subscriptions.redis().command(&command).await?;
            for entry in &reply.ids {
                let LiveEvent { id, event } = parse(entry)?;
                if let Event::Progress { audio: Some(audio), .. } = event {
                    return Ok(audio.end());
                }
                before = id;
            }
            if reply.ids.len() < LOOK_BACK {
                break;
            }
        }
        Ok(0)
    }

    async fn read(&self) -> Result<Vec<LiveEvent>, QueueError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.key).arg(format!("({}", self.last)).arg("+").arg("COUNT").arg(READ_MAX);
        let reply: StreamRangeReply = self.subscriptions.redis().command(&command).await?;
        reply.ids.iter().map(parse).collect::<Result<_, _>>()
    }

    /// Reads the end from the job's record. Needed if no process wrote the terminal event, or if
    /// that event was read past or has expired.
    async fn end_by_record(&self) -> Result<Option<LiveEvent>, QueueError> {
        let Some(record) = self.queue.record(&self.job).await? else {
            return Err(QueueError::Redis(RedisFault::Unavailable(format!("job {} is no longer known", self.job))));
        };
        Ok(Event::of_end(&record).map(|event| LiveEvent { id: EventId::terminal(record.attempt), event }))
    }
}

fn gap(id: EventId, heard: u64, next: u64) -> QueueError {
    QueueError::Corrupt(format!("event {id}: live audio was heard to sample {heard} and goes on at {next}"))
}

fn parse(entry: &StreamId) -> Result<LiveEvent, QueueError> {
    let corrupt = || QueueError::Corrupt(format!("event {}", entry.id));
    let id = entry.id.parse().map_err(|_| corrupt())?;
    let body: String = entry.get("event").ok_or_else(corrupt)?;
    Ok(LiveEvent { id, event: serde_json::from_str(&body)? })
}
