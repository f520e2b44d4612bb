//! Storage of a finished file, under a key of its attempt and worker.
//!
//! The commit is not the file but the pointer to it in the job's record. A file without a commit is
//! deleted.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use csm_queue::queue::LeaseRef;
use csm_shared::job::JobSpec;
use csm_shared::process::digest::sha256_hex;
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};
use tokio::time::timeout;

use crate::health::{PartError, SharedFault, SharedPart};

/// Tries of one write, the first included, before the store counts as out of order.
const TRIES: usize = 3;
/// Longest pause between two of these tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Longest time of one write.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// Refusals of a file by a store that passes its check, after which the file is at fault.
const REFUSALS_MAX: u32 = 3;

/// A file in the store that no record points to yet.
#[derive(Debug)]
pub struct Stored {
    /// Key of the file.
    pub key: ObjectKey,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// A file that can never be stored, although the store works.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store refuses this file and takes others.
    #[error("the store takes other files, but not this one: {0}")]
    Refused(StoreError),
    /// The key of the attempt is not legal.
    #[error(transparent)]
    Key(#[from] InvalidObjectKey),
}

/// Stores the file of one attempt. `trial` is the number of times that the store took a small
/// object after it had refused this file.
///
/// # Errors
/// [`PartError::Shared`] if the store is out of order: the file is worth keeping.
pub async fn put(
    store: &Store,
    at: &LeaseRef,
    spec: &JobSpec,
    file: Bytes,
    trial: u32,
) -> Result<Stored, PartError<SinkError>> {
    let key = key(at, spec).map_err(|error| PartError::Own(error.into()))?;
    let (bytes, sha256) = (file.len() as u64, sha256_hex(&file));
    let backoff = ExponentialBuilder::default()
        .with_min_delay(PAUSE_MAX / 10)
        .with_max_delay(PAUSE_MAX)
        .with_max_times(TRIES - 1)
        .with_jitter();
    let write = || async {
        let written = timeout(WRITE_LIMIT, store.put(&key, file.clone(), spec.format.media_type())).await;
        written.unwrap_or_else(|_| Err(StoreError::Timeout(format!("{key}: {} s are over", WRITE_LIMIT.as_secs()))))
    };
    let written = write
        .retry(backoff)
        .when(|error| matches!(error, StoreError::Unavailable(_)))
        .notify(|error, pause| tracing::debug!(error = %error, ?pause, "cannot store audio, retrying"))
        .await;
    match written {
        Ok(()) => Ok(Stored { key, bytes, sha256 }),
        // A store that is full or denies access also refuses other files, sooner or later.
        Err(error @ StoreError::Invalid(_)) if trial >= REFUSALS_MAX => Err(PartError::Own(SinkError::Refused(error))),
        Err(error) => Err(PartError::Shared(SharedFault::new(SharedPart::Store, &error))),
    }
}

/// Deletes the file that this attempt may have stored. A failure is harmless: no record points to
/// the file.
pub async fn discard(store: &Store, at: &LeaseRef, spec: &JobSpec) {
    let Ok(key) = key(at, spec) else { return };
    if let Err(error) = store.delete(&key).await {
        tracing::warn!(key = %key, error = %error, "cannot delete uncommitted file from store");
    }
}

fn key(at: &LeaseRef, spec: &JobSpec) -> Result<ObjectKey, InvalidObjectKey> {
    let (attempt, writer, extension) = (at.attempt, at.worker_id().tag(), spec.format.name());
    match &spec.audio_name {
        Some(name) => ObjectKey::named_audio(name.as_str(), attempt, writer, extension),
        None => ObjectKey::audio(&at.id.to_string(), attempt, writer, extension),
    }
}
