//! Recordings of a job's context, from the payload or from the store.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use csm_shared::audio::Clip;
use csm_shared::job::{Context, Recording, StoredRecording, WrongRecording};
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// Longest time to read all recordings of a job, all tries included.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(60);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Upper bound on the number of tries, which are bounded by time as well.
const TRIES_MAX: usize = 100;
/// Recordings of one job that are read at the same time.
const GETS_AT_ONCE: usize = 4;

/// Reason why a recording of the context is not there.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The store failed.
    #[error("recording of the context: {0}")]
    Store(#[from] StoreError),
    /// The reference names no object.
    #[error("recording of the context: {0}")]
    Key(#[from] InvalidObjectKey),
    /// The object is not the recording that was stored.
    #[error("recording of the context: {0}")]
    Wrong(#[from] WrongRecording),
    /// The store took too long.
    #[error("the recordings of the context were not read within {} s", FETCH_LIMIT.as_secs())]
    TimedOut,
}

impl RecordingError {
    /// Returns true if the store no longer holds the recording, so that no retry can help.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound(_)) | Self::Key(_))
    }
}

/// Returns the recordings of a context in order. Each is what the caller was counted for: the
/// digest is checked.
pub(super) async fn fetch(store: &Store, context: &Context) -> Result<Vec<Clip>, RecordingError> {
    let recordings: Vec<_> = context.segments().iter().map(|segment| segment.recording.clone()).collect();
    let clips = stream::iter(recordings).map(|recording| async move {
        match recording {
            Recording::Clip(clip) => Ok(clip),
            Recording::Stored(stored) => read(store, stored).await,
        }
    });
    let clips = clips.buffered(GETS_AT_ONCE).try_collect();
    tokio::time::timeout(FETCH_LIMIT, clips).await.map_err(|_| RecordingError::TimedOut)?
}

async fn read(store: &Store, stored: StoredRecording) -> Result<Clip, RecordingError> {
    let key: ObjectKey = stored.location.parse()?;
    let backoff = ExponentialBuilder::default()
        .with_max_delay(PAUSE_MAX)
        .with_max_times(TRIES_MAX)
        .with_total_delay(Some(FETCH_LIMIT))
        .with_jitter();
    let bytes = (|| store.get(&key))
        .retry(backoff)
        .when(|error| !error.is_permanent())
        .notify(|error, pause| tracing::warn!(error = %error, ?pause, "cannot read recording of context, retrying"))
        .await?;
    Ok(stored.read(&bytes)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::job::{Segment, Speaker, Text};
    use csm_shared::store::FolderStore;

    use super::*;

    fn context(recordings: Vec<Recording>) -> Context {
        let segment =
            |recording| Segment { text: Text::new("a").unwrap(), speaker: Speaker::new(0).unwrap(), recording };
        Context::new(recordings.into_iter().map(segment).collect()).unwrap()
    }

    #[tokio::test]
    async fn recordings_come_in_order_and_only_as_they_were_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Folder(FolderStore::open(folder.path()).unwrap());
        let stored = |samples: &[i16]| {
            let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            (StoredRecording::of(&pcm, |sha256| format!("context/1/{sha256}.pcm")), pcm)
        };
        let mut recordings = Vec::new();
        for n in 1..=9 {
            let (reference, pcm) = stored(&[n; 5]);
            store.put(&reference.location.parse().unwrap(), pcm.into(), "audio/pcm").await.unwrap();
            recordings.push(Recording::Stored(reference));
        }
        recordings.push(Clip::from_samples(vec![10; 5]).into());
        let clips = fetch(&store, &context(recordings.clone())).await.unwrap();
        assert_eq!(clips.iter().map(|clip| clip.samples()[0]).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());

        let (gone, _) = stored(&[11; 5]);
        let key: ObjectKey = gone.location.parse().unwrap();
        let context = context(vec![recordings[0].clone(), Recording::Stored(gone)]);
        let error = fetch(&store, &context).await.unwrap_err();
        assert!(error.is_gone(), "{error}");
        store.put(&key, vec![0; 10].into(), "audio/pcm").await.unwrap();
        let error = fetch(&store, &context).await.unwrap_err();
        assert!(matches!(error, RecordingError::Wrong(_)) && !error.is_gone(), "{error}");
    }
}
