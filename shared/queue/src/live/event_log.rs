//! Events of a job, read from its stream, and from the store once they were archived.

use std::sync::Arc;

use redis::streams::{StreamId, StreamRangeReply};

use super::archive::{self, Archive};
use super::subscriptions::Subscriptions;
use super::{EVENTS_MAX, Event, EventId, LiveEvent, READ_MAX, stream_key};
use crate::queue::QueueError;
use crate::redis_client::RedisClient;
use csm_shared::job::JobId;
use csm_shared::store::Store;

/// Events fetched per step when searching backwards for the last live audio.
const LOOK_BACK: usize = 8;

/// Event that several followers share.
pub(super) type SharedEvent = Arc<LiveEvent>;

/// Reader of one job's events at any position.
pub(super) struct EventLog {
    redis: RedisClient,
    store: Option<Store>,
    key: String,
    /// Archive of the events, once the stream has named one.
    archive: Option<Archive>,
}

impl EventLog {
    pub(super) fn new(subscriptions: &Subscriptions, job: &JobId) -> Self {
        let redis = subscriptions.redis().clone();
        let key = stream_key(redis.prefix(), job);
        Self { redis, store: subscriptions.store().cloned(), key, archive: None }
    }

    /// Returns the last event.
    pub(super) async fn tail(&self) -> Result<Option<SharedEvent>, QueueError> {
        let entries = self.range("XREVRANGE", "+", "-", 1).await?;
        entries.first().map(parse).transpose()
    }

    /// Returns the next events after `last`, and whether more may follow at once.
    pub(super) async fn read_after(&mut self, last: EventId) -> Result<(Vec<SharedEvent>, bool), QueueError> {
        if self.archive.is_none() {
            let entries = self.range("XRANGE", &format!("({last}"), "+", READ_MAX).await?;
            if !self.open_archive(entries.first()).await? {
                let events = entries.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
                return Ok((events, entries.len() == READ_MAX));
            }
        }
        if let (Some(archive), Some(store)) = (&self.archive, &self.store) {
            let events = Box::pin(archive.read_after(store, last)).await?;
            if !events.is_empty() {
                return Ok((events, true));
            }
        }
        // Behind the archived events there is only the terminal one.
        let entries = self.range("XRANGE", &format!("({last}"), "+", READ_MAX).await?;
        Ok((entries.iter().map(parse).collect::<Result<_, _>>()?, false))
    }

    /// Counts the samples of live audio in the events before `id`.
    pub(super) async fn samples_before(&mut self, id: EventId) -> Result<u64, QueueError> {
        let mut before = id;
        for _ in 0..2 * EVENTS_MAX / LOOK_BACK {
            let events = self.read_before(before).await?;
            for event in &events {
                if let Event::Progress { audio: Some(audio), .. } = &event.event {
                    return Ok(audio.end());
                }
                before = event.id;
            }
            if events.is_empty() {
                break;
            }
        }
        Ok(0)
    }

    /// Returns up to [`LOOK_BACK`] events before `id`, the latest first.
    async fn read_before(&mut self, id: EventId) -> Result<Vec<SharedEvent>, QueueError> {
        if self.archive.is_none() {
            let entries = self.range("XREVRANGE", &format!("({id}"), "-", LOOK_BACK).await?;
            if !entries.is_empty() {
                return entries.iter().map(parse).collect();
            }
            let tail = self.range("XREVRANGE", "+", "-", 1).await?;
            self.open_archive(tail.first()).await?;
        }
        match (&self.archive, &self.store) {
            (Some(archive), Some(store)) => Box::pin(archive.read_before(store, id, LOOK_BACK)).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Opens the archive that an entry names. Returns false if it names none.
    async fn open_archive(&mut self, entry: Option<&StreamId>) -> Result<bool, QueueError> {
        let Some(name) = entry.and_then(|entry| entry.get::<String>(archive::FIELD)) else { return Ok(false) };
        let store = self.store.as_ref().ok_or_else(|| QueueError::Archive("this process has no store".to_owned()))?;
        self.archive = Some(Box::pin(Archive::open(store, &name)).await?);
        Ok(true)
    }

    async fn range(&self, command: &str, from: &str, to: &str, count: usize) -> Result<Vec<StreamId>, QueueError> {
        let mut command = redis::cmd(command);
        command.arg(&self.key).arg(from).arg(to).arg("COUNT").arg(count);
        let reply: StreamRangeReply = self.redis.shared_command(&command).await?;
        Ok(reply.ids)
    }
}

fn parse(entry: &StreamId) -> Result<SharedEvent, QueueError> {
    let corrupt = || QueueError::Corrupt(format!("event {}", entry.id));
    let id = entry.id.parse().map_err(|_| corrupt())?;
    let body: String = entry.get("event").ok_or_else(corrupt)?;
    Ok(Arc::new(LiveEvent { id, event: serde_json::from_str(&body)? }))
}
