//! Recordings of a job's context, from the payload or from the store.

use csm_shared::audio::Clip;
use csm_shared::job::{Context, Failure, FailureClass, Recording, StoredRecording, WrongRecording};
use csm_shared::store::Store;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::stored_object::{self, ObjectError};
use crate::health::{PartError, SharedFault, SharedPart};

/// Recordings of one job that are read at the same time.
const READS_AT_ONCE: usize = 4;

/// Reason why a recording of the context can never be had, although the store works.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The object cannot be had.
    #[error("recording of the context: {0}")]
    Object(#[from] ObjectError),
    /// The object is not the recording that was stored.
    #[error("recording of the context: {0}")]
    Wrong(#[from] WrongRecording),
}

impl RecordingError {
    /// Returns the failure as the queue records it. Its message is safe to show.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Object(ObjectError::Gone(_) | ObjectError::Key(_)) => {
                Failure::new(FailureClass::Invalid, "a recording of the context is no longer kept")
            }
            Self::Object(ObjectError::Refused(_)) | Self::Wrong(_) => {
                Failure::new(FailureClass::Resource, "a recording of the context could not be read")
            }
        }
    }
}

/// Returns the recordings of a context in order. Each is what the caller was counted for: the
/// digest is checked. `trial` is the number of times that the store passed its check after it had
/// refused these recordings.
///
/// # Errors
/// [`PartError::Shared`] if the store is out of order.
pub(super) async fn fetch(
    store: &Store,
    context: &Context,
    trial: u32,
) -> Result<Vec<Clip>, PartError<RecordingError>> {
    let recordings: Vec<_> = context.segments().iter().map(|segment| segment.recording.clone()).collect();
    let clips = stream::iter(recordings).map(|recording| async move {
        match recording {
            Recording::Clip(clip) => Ok(clip),
            Recording::Stored(stored) => read(store, stored, trial).await,
        }
    });
    clips.buffered(READS_AT_ONCE).try_collect().await
}

async fn read(store: &Store, stored: StoredRecording, trial: u32) -> Result<Clip, PartError<RecordingError>> {
    let bytes = stored_object::read(store, &stored.location, trial).await.map_err(PartError::own_into)?;
    let clip = tokio::task::spawn_blocking(move || stored.read(&bytes)).await;
    let clip = clip.map_err(|panicked| PartError::Shared(SharedFault::new(SharedPart::Store, &panicked)))?;
    clip.map_err(|error| PartError::Own(error.into()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::job::{Segment, Speaker, Text};
    use csm_shared::store::{FolderStore, ObjectKey};

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
        let clips = fetch(&store, &context(recordings.clone()), 0).await.unwrap();
        assert_eq!(clips.iter().map(|clip| clip.samples()[0]).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());

        let (gone, _) = stored(&[11; 5]);
        let key: ObjectKey = gone.location.parse().unwrap();
        let context = context(vec![recordings[0].clone(), Recording::Stored(gone)]);
        let error = fetch(&store, &context, 0).await.unwrap_err();
        assert!(matches!(error, PartError::Own(RecordingError::Object(ObjectError::Gone(_)))), "{error:?}");
        store.put(&key, vec![0; 10].into(), "audio/pcm").await.unwrap();
        let error = fetch(&store, &context, 0).await.unwrap_err();
        assert!(matches!(error, PartError::Own(RecordingError::Wrong(_))), "{error:?}");
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_at_fault_and_no_recording() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let store = Store::Folder(FolderStore::open(&root).unwrap());
        let stored = StoredRecording::of(&[1, 2], |sha256| format!("context/1/{sha256}.pcm"));
        let key: ObjectKey = stored.location.parse().unwrap();
        store.put(&key, vec![1, 2].into(), "audio/pcm").await.unwrap();
        let (context, away) = (context(vec![Recording::Stored(stored)]), folder.path().join("away"));
        std::fs::rename(&root, &away).unwrap();
        let error = fetch(&store, &context, 0).await.unwrap_err();
        assert!(matches!(&error, PartError::Shared(fault) if fault.part == SharedPart::Store), "{error:?}");
        let error = fetch(&store, &context, stored_object::REFUSALS_MAX).await.unwrap_err();
        assert!(matches!(error, PartError::Own(RecordingError::Object(ObjectError::Refused(_)))), "{error:?}");
        std::fs::rename(&away, &root).unwrap();
        assert_eq!(fetch(&store, &context, 0).await.unwrap()[0].samples(), [513]);
    }
}
