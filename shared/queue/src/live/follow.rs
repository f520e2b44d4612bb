//! The reading side: a job's events from any position in its stream to the end.

use std::sync::Arc;

use futures::Stream;

use super::event_log::{EventLog, SharedEvent};
use super::job_reader::{JobReader, JobReaders, NextStep, ReaderView};
use super::subscriptions::Subscriptions;
use super::{Event, EventId, LiveEvent};
use crate::queue::{Queue, QueueError};
use csm_shared::job::JobId;

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
        let Some(record) = queue.record(&job).await? else { return Ok(None) };
        let reader = JobReaders::of(self, queue, job, record.state);
        let follower = Follower {
            view: reader.view(),
            _reader: reader,
            log: EventLog::new(self, &job),
            last: after,
            heard: (after == EventId::START).then_some(0),
            ready: Vec::new().into_iter(),
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
    view: ReaderView,
    /// Keeps the reader of the job at work.
    _reader: Arc<JobReader>,
    log: EventLog,
    last: EventId,
    /// Samples of live audio up to `last`; `None` if not looked up yet.
    heard: Option<u64>,
    ready: std::vec::IntoIter<SharedEvent>,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<LiveEvent>, QueueError> {
        while !self.ended {
            if let Some(event) = self.ready.next() {
                return self.deliver(Arc::unwrap_or_clone(event)).await.map(Some);
            }
            match self.view.next_step(self.last)? {
                NextStep::Take(events) => self.ready = events.into_iter(),
                NextStep::End(end) => return self.deliver(end).await.map(Some),
                NextStep::Wait => self.view.changed().await?,
                NextStep::CatchUp(from) => {
                    let (events, _) = self.log.read_after(self.last).await?;
                    if events.is_empty() {
                        // The events up to there have expired.
                        self.last = from;
                    }
                    self.ready = events.into_iter();
                }
            }
        }
        Ok(None)
    }

    async fn deliver(&mut self, event: LiveEvent) -> Result<LiveEvent, QueueError> {
        match &event.event {
            Event::Progress { audio: Some(audio), .. } => {
                let heard = match self.heard {
                    Some(heard) => heard,
                    None => self.log.samples_before(event.id).await?,
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
}

fn gap(id: EventId, heard: u64, next: u64) -> QueueError {
    QueueError::Corrupt(format!("event {id}: live audio was heard to sample {heard} and goes on at {next}"))
}
