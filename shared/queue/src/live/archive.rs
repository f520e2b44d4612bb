//! Archive of a job's events: an object in the store that holds what the stream held until the job
//! ended.
//!
//! The samples of a live job of 2 min take 8 MB in Redis. Once the job has ended, nothing is added
//! any more, and the events move to the store. The stream keeps the terminal event, which names the
//! archive. A follower reads the archive like the stream, from any event on, and gets the same
//! bytes. The archive is removed when the stream would have expired.
//!
//! An archive begins with an index: for each event its id and the length of its JSON, 20 bytes with
//! the lowest first. The JSON of all events follows in the same order. The stream's field says
//! `<number of events> <key of the object>`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::event_log::SharedEvent;
use super::{EVENTS_MAX, EventId, LiveEvent, READ_AUDIO_BYTES_MAX, READ_MAX};
use crate::queue::QueueError;
use csm_shared::job::JobId;
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};

/// Name of the stream's field.
pub(super) const FIELD: &str = "archive";
/// Bytes of an event in the index.
const ENTRY_BYTES: usize = 20;
/// Largest number of events of an archive. Trimming is approximate, so a stream may hold more than
/// [`EVENTS_MAX`].
pub(super) const ARCHIVED_MAX: usize = 2 * EVENTS_MAX;

/// Event of an archive that is being built: its id and its JSON.
pub(super) type ArchivedEvent = (EventId, String);

/// Open archive: its index, and its key.
#[derive(Debug)]
pub(super) struct Archive {
    key: ObjectKey,
    /// Ids of the events and the places of their JSON, in order.
    index: Vec<(EventId, Range<u64>)>,
}

/// Returns the key of the archive of a job that ended in `attempt`.
pub(super) fn key(job: &JobId, attempt: u64) -> Result<ObjectKey, InvalidObjectKey> {
    ObjectKey::new(format!("events/{job}/a{attempt}"))
}

/// Returns the value of the stream's field.
pub(super) fn name(key: &ObjectKey, events: usize) -> String {
    format!("{events} {key}")
}

/// Returns the archive of these events.
pub(super) fn encode(events: &[ArchivedEvent]) -> Bytes {
    let bodies = events.iter().map(|(_, body)| body.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(events.len() * ENTRY_BYTES + bodies);
    for (id, body) in events {
        bytes.extend(id.attempt.to_le_bytes());
        bytes.extend(id.sequence.to_le_bytes());
        bytes.extend((body.len() as u32).to_le_bytes());
    }
    events.iter().for_each(|(_, body)| bytes.extend(body.as_bytes()));
    bytes.into()
}

impl Archive {
    /// Opens the archive that a stream names. The archive of events that have expired is empty.
    pub(super) async fn open(store: &Store, name: &str) -> Result<Self, QueueError> {
        let corrupt = || QueueError::Corrupt(format!("archive {name:?}"));
        let (events, key) = name.split_once(' ').ok_or_else(corrupt)?;
        let events = events.parse().ok().filter(|events| (1..=ARCHIVED_MAX).contains(events)).ok_or_else(corrupt)?;
        let key: ObjectKey = key.parse().map_err(|_| corrupt())?;
        let index = match store.get_range(&key, 0..(events * ENTRY_BYTES) as u64).await {
            Ok(bytes) => read_index(&bytes, events).ok_or_else(corrupt)?,
            Err(StoreError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(unreadable(&error)),
        };
        Ok(Self { key, index })
    }

    /// Returns the next events after `last`: up to [`READ_MAX`], and no more bytes than one read of
    /// the stream may bring.
    pub(super) async fn read_after(&self, store: &Store, last: EventId) -> Result<Vec<SharedEvent>, QueueError> {
        let first = self.index.partition_point(|(id, _)| *id <= last);
        let begin = self.index.get(first).map_or(0, |(_, place)| place.start);
        let fits = |(_, place): &&(EventId, Range<u64>)| place.end - begin <= READ_AUDIO_BYTES_MAX as u64;
        let rest = self.index.get(first..).unwrap_or_default();
        let some = rest.iter().take(READ_MAX).take_while(fits).count();
        self.read(store, first..first + some.max(rest.len().min(1))).await
    }

    /// Returns up to `most` events before `id`, the latest first.
    pub(super) async fn read_before(
        &self,
        store: &Store,
        id: EventId,
        most: usize,
    ) -> Result<Vec<SharedEvent>, QueueError> {
        let end = self.index.partition_point(|(event, _)| *event < id);
        let mut events = self.read(store, end.saturating_sub(most)..end).await?;
        events.reverse();
        Ok(events)
    }

    async fn read(&self, store: &Store, events: Range<usize>) -> Result<Vec<SharedEvent>, QueueError> {
        let events = self.index.get(events).unwrap_or_default();
        let (Some((_, first)), Some((_, last))) = (events.first(), events.last()) else { return Ok(Vec::new()) };
        let bytes = match store.get_range(&self.key, first.start..last.end).await {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&error)),
        };
        let event = |(id, place): &(EventId, Range<u64>)| {
            let place = (place.start - first.start) as usize..(place.end - first.start) as usize;
            let body = bytes.get(place).ok_or_else(|| QueueError::Corrupt(format!("archive {}", self.key)))?;
            Ok(Arc::new(LiveEvent { id: *id, event: serde_json::from_slice(body)? }))
        };
        events.iter().map(event).collect()
    }
}

/// Reads an index of `events` events; returns `None` if it is damaged.
fn read_index(bytes: &[u8], events: usize) -> Option<Vec<(EventId, Range<u64>)>> {
    let mut end = (events * ENTRY_BYTES) as u64;
    let mut index = Vec::with_capacity(events);
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    for entry in entries {
        let (attempt, rest) = entry.split_first_chunk()?;
        let (sequence, length) = rest.split_first_chunk()?;
        let id = EventId { attempt: u64::from_le_bytes(*attempt), sequence: u64::from_le_bytes(*sequence) };
        let begin = end;
        end += u64::from(u32::from_le_bytes(length.try_into().ok()?));
        index.push((id, begin..end));
    }
    let whole = rest.is_empty() && index.len() == events && index.is_sorted_by(|a, b| a.0 < b.0);
    whole.then_some(index)
}

fn unreadable(error: &StoreError) -> QueueError {
    QueueError::Archive(error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_index_is_read_as_it_was_written_and_no_other() {
        let events: Vec<_> =
            (1..=3).map(|n| (EventId { attempt: 1, sequence: n }, "x".repeat(n as usize * 100))).collect();
        let bytes = encode(&events);
        let index = read_index(&bytes[..60], 3).unwrap();
        assert_eq!(index.iter().map(|(id, _)| *id).collect::<Vec<_>>(), events.iter().map(|e| e.0).collect::<Vec<_>>());
        for ((_, place), (_, body)) in index.iter().zip(&events) {
            assert_eq!(&bytes[place.start as usize..place.end as usize], body.as_bytes());
        }
        assert_eq!(bytes.len() as u64, index[2].1.end);
        assert_eq!(read_index(&bytes[..59], 3), None);
        assert_eq!(read_index(&bytes[..40], 3), None);
        let swapped = [&bytes[20..40], &bytes[..20]].concat();
        assert_eq!(read_index(&swapped, 2), None, "ids that do not ascend");
    }
}
