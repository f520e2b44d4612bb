//! The writing side: events into a job's stream.

use std::time::Duration;

use super::{CodesChunk, EVENTS_MAX, EVENTS_TTL_MS, Event, EventId, Live, resume_point, stream_key, wake_channel};
use crate::queue::{Queue, QueueError};
use crate::redis_client::RedisFault;
use csm_shared::job::{JobId, JobRecord};
use csm_shared::process::telemetry::JOBS_TOTAL;

/// Longest time to announce an end, while a slot or a housekeeping round waits. Followers read an
/// unannounced end from the record about as soon.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(2);

impl Live {
    /// Writes one event, trying once: followers can do without any event but the last. An id that
    /// is not above the last adds nothing and is no error. Such a write is a repeat, or comes from
    /// a worker that lost its lease.
    pub async fn publish(&self, job: &JobId, id: EventId, event: &Event) -> Result<(), RedisFault> {
        self.publish_with(job, id, event, None).await
    }

    /// Writes an event like [`Live::publish`], with the frames generated since the last event, so
    /// that another attempt can resume after them.
    pub async fn publish_with(
        &self,
        job: &JobId,
        id: EventId,
        event: &Event,
        codes: Option<&CodesChunk>,
    ) -> Result<(), RedisFault> {
        let (stream, channel) = (stream_key(self.redis.prefix(), job), wake_channel(self.redis.prefix(), job));
        let body = serde_json::to_string(event).map_err(|error| RedisFault::Unavailable(error.to_string()))?;
        let mut script = self.script.key(stream);
        script.arg(id.to_string()).arg(EVENTS_TTL_MS).arg(EVENTS_MAX).arg(channel).arg(body);
        if let Some(codes) = codes.and_then(CodesChunk::encode) {
            script.arg(codes).arg(resume_point::FIELD);
        }
        self.redis.script_once::<u8>(&script).await.map(|_| ())
    }

    /// Writes the terminal event of a job that has ended, and counts the end. Does nothing for a
    /// job that has not ended.
    ///
    /// To be called once, by the process that ended the job. If the write fails, followers read the
    /// end from the record.
    pub async fn conclude(&self, queue: &Queue, job: &JobId) -> Result<(), QueueError> {
        let Some(record) = queue.record(job).await? else { return Ok(()) };
        if !record.state.is_final() {
            return Ok(());
        }
        metrics::counter!(JOBS_TOTAL, "lane" => record.lane.name(), "outcome" => record.state.name()).increment(1);
        let why = match tokio::time::timeout(ANNOUNCE_LIMIT, self.announce_end(&record)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::warn!(job = %job, error = why, "cannot announce end of job");
        Ok(())
    }

    /// Writes the terminal event of a job that has ended, trying again while Redis is unavailable.
    /// Does nothing for a job that has not ended.
    async fn announce_end(&self, record: &JobRecord) -> Result<(), RedisFault> {
        let Some(event) = Event::of_end(record) else { return Ok(()) };
        let id = EventId::terminal(record.attempt);
        self.redis.patiently(|| self.publish(&record.id, id, &event)).await
    }
}
