//! The writing side: events into a job's stream.

use std::time::Duration;

use jiff::Timestamp;
use redis::streams::StreamRangeReply;

use super::archive::{self, ArchivedEvent};
use super::{
    CodesChunk, EVENTS_MAX, EVENTS_TTL_MS, Event, EventId, Live, READ_MAX, resume_point, stream_key, wake_channel,
};
use crate::queue::{Queue, QueueError};
use crate::redis_client::RedisFault;
use crate::temporary_objects::TemporaryObjects;
use csm_shared::job::{JobId, JobRecord};
use csm_shared::process::telemetry::JOBS_TOTAL;

/// Longest time to announce an end, while a slot or a housekeeping round waits. Followers read an
/// unannounced end from the record about as soon.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(2);
/// Longest time to archive the events of an ended job, while a slot waits.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(5);
/// Time that an archive is kept. It is longer than the stream that names it, so that a follower who
/// came last can read to the end.
const ARCHIVE_TTL: Duration = Duration::from_millis(2 * EVENTS_TTL_MS);
/// Media type of an archive.
const ARCHIVE_MEDIA_TYPE: &str = "application/octet-stream";
/// Text by which the JSON of an event with live audio is recognised.
const AUDIO_MARK: &str = "\"pcm\":";

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
        let mut script = self.scripts.publish.key(stream);
        script.arg(id.to_string()).arg(EVENTS_TTL_MS).arg(EVENTS_MAX).arg(channel).arg(body);
        if let Some(codes) = codes.and_then(CodesChunk::encode) {
            script.arg(codes).arg(resume_point::FIELD);
        }
        self.redis.shared_script_once::<u8>(&script).await.map(|_| ())
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
            Ok(Ok(())) => {
                Box::pin(self.archive_or_log(&record)).await;
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::warn!(job = %job, error = why, "cannot announce end of job");
        Ok(())
    }

    /// Removes the events of an ended job, which nobody follows any more.
    ///
    /// # Errors
    /// [`RedisFault`]: the events expire.
    pub async fn forget(&self, job: &JobId) -> Result<(), RedisFault> {
        let mut remove = redis::cmd("DEL");
        remove.arg(stream_key(self.redis.prefix(), job));
        self.redis.command(&remove).await
    }

    /// Moves the events of an ended live job to the store. After a failure they stay in Redis until
    /// they expire.
    async fn archive_or_log(&self, record: &JobRecord) {
        let Some(archives) = &self.archives else { return };
        let why = match tokio::time::timeout(ARCHIVE_LIMIT, self.archive(archives, record)).await {
            Ok(Ok(0)) => return,
            Ok(Ok(events)) => return tracing::debug!(job = %record.id, events, "archived events"),
            Ok(Err(why)) => why,
            Err(late) => late.to_string(),
        };
        tracing::warn!(job = %record.id, error = why, "cannot archive events of ended job");
    }

    /// Moves the events before the terminal one to the store, and returns their number. The events
    /// of a job without live audio are small, and stay.
    async fn archive(&self, archives: &TemporaryObjects, record: &JobRecord) -> Result<usize, String> {
        let _place = self.archiving.acquire().await.map_err(|error| error.to_string())?;
        let end = EventId::terminal(record.attempt);
        let events = self.events_before(&record.id, end).await.map_err(|error| error.to_string())?;
        if events.is_empty() {
            return Ok(0);
        }
        let key = archive::key(&record.id, record.attempt).map_err(|error| error.to_string())?;
        let until = Timestamp::now() + ARCHIVE_TTL;
        let stored = archives.put(&key, archive::encode(&events), ARCHIVE_MEDIA_TYPE, until).await;
        stored.map_err(|error| error.to_string())?;
        let mut script = self.scripts.archive.key(stream_key(self.redis.prefix(), &record.id));
        script.arg(end.to_string()).arg(EVENTS_TTL_MS).arg(archive::FIELD).arg(archive::name(&key, events.len()));
        self.redis.script_once::<u8>(&script).await.map_err(|error| error.to_string())?;
        Ok(events.len())
    }

    /// Reads the events before `end`. Returns none if the first of them bring no live audio, or if
    /// there are too many.
    async fn events_before(&self, job: &JobId, end: EventId) -> Result<Vec<ArchivedEvent>, RedisFault> {
        let (key, mut events) = (stream_key(self.redis.prefix(), job), Vec::new());
        let mut last = EventId::START.to_string();
        while events.len() < archive::ARCHIVED_MAX {
            let mut command = redis::cmd("XRANGE");
            command.arg(&key).arg(format!("({last}")).arg(format!("({end}")).arg("COUNT").arg(READ_MAX);
            let reply: StreamRangeReply = self.redis.command_once(&command).await?;
            let Some(entry) = reply.ids.last() else { break };
            last.clone_from(&entry.id);
            let bodies = reply.ids.iter().filter_map(|entry| Some((entry.id.parse().ok()?, entry.get("event")?)));
            events.extend(bodies);
            let is_first_page = events.len() <= READ_MAX;
            if is_first_page && !events.iter().any(|(_, body): &ArchivedEvent| body.contains(AUDIO_MARK)) {
                return Ok(Vec::new());
            }
            if reply.ids.len() < READ_MAX {
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }

    /// Writes the terminal event of a job that has ended, trying again while Redis is unavailable.
    /// Does nothing for a job that has not ended.
    async fn announce_end(&self, record: &JobRecord) -> Result<(), RedisFault> {
        let Some(event) = Event::of_end(record) else { return Ok(()) };
        let id = EventId::terminal(record.attempt);
        self.redis.patiently(|| self.publish(&record.id, id, &event)).await
    }
}
