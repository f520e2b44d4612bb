//! Storage of a finished file, under a key of its attempt and worker.
//!
//! The commit is not the file but the pointer to it in the job's record. A file without a commit is
//! deleted.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use csm_queue::queue::LeaseRef;
use csm_shared::job::AudioFormat;
use csm_shared::process::digest::sha256_hex;
use csm_shared::process::outage_log::OutageLog;
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};

/// Longest time to retry a store that is down. After that the audio in memory is lost and has to be
/// generated again.
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Upper bound on the number of tries, which are bounded by time as well.
const TRIES_MAX: usize = 100;

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

/// A file that could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of the attempt is not legal.
    #[error(transparent)]
    Key(#[from] InvalidObjectKey),
}

impl SinkError {
    /// Returns true if a retry cannot help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => error.is_permanent(),
            Self::Key(_) => true,
        }
    }
}

/// Stores the file of one attempt.
pub async fn put(store: &Store, at: &LeaseRef, format: AudioFormat, file: Vec<u8>) -> Result<Stored, SinkError> {
    let (key, file) = (key(at, format)?, Bytes::from(file));
    let (bytes, sha256) = (file.len() as u64, sha256_hex(&file));
    let backoff = ExponentialBuilder::default()
        .with_max_delay(PAUSE_MAX)
        .with_max_times(TRIES_MAX)
        .with_total_delay(Some(RETRY_LIMIT))
        .with_jitter();
    (|| store.put(&key, file.clone(), format.media_type()))
        .retry(backoff)
        .when(|error| !error.is_permanent())
        .notify(|error, pause| {
            static OUTAGE: OutageLog = OutageLog::new();
            if let Some(outage) = OUTAGE.failed() {
                tracing::warn!(error = %error, ?pause, %outage, "cannot store audio, retrying");
            }
        })
        .await?;
    Ok(Stored { key, bytes, sha256 })
}

/// Deletes the file that this attempt may have stored. A failure is harmless: no record points to
/// the file.
pub async fn discard(store: &Store, at: &LeaseRef, format: AudioFormat) {
    let Ok(key) = key(at, format) else { return };
    if let Err(error) = store.delete(&key).await {
        tracing::warn!(key = %key, error = %error, "cannot delete uncommitted file from store");
    }
}

fn key(at: &LeaseRef, format: AudioFormat) -> Result<ObjectKey, InvalidObjectKey> {
    ObjectKey::audio(&at.id.to_string(), at.attempt, at.worker_id().tag(), format.name())
}
