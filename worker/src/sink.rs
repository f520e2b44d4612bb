//! Where a finished file goes: the store, under a key that carries job and attempt. The commit is not the file but the
//! pointer to it in the job's record; a file whose commit was refused is taken out again.

use bytes::Bytes;
use csm_shared::job::JobId;
use csm_shared::store::{InvalidKey, ObjectKey, Store, StoreError};
use sha2::{Digest as _, Sha256};

/// Media type of the files.
const WAV: &str = "audio/wav";

/// A file in the store that no record points to yet.
#[derive(Debug)]
pub struct Stored {
    /// Its key.
    pub key: ObjectKey,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

/// The file could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key would not be legal.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

impl SinkError {
    /// True when trying again cannot help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => error.is_permanent(),
            Self::Key(_) => true,
        }
    }
}

/// Stores the WAV of one attempt.
pub async fn put_wav(store: &Store, job: &JobId, attempt: u64, wav: Vec<u8>) -> Result<Stored, SinkError> {
    let key = ObjectKey::audio(&job.to_string(), attempt, "wav")?;
    let (bytes, sha256) = (wav.len() as u64, hex(&Sha256::digest(&wav)));
    store.put(&key, Bytes::from(wav), WAV).await?;
    Ok(Stored { key, bytes, sha256 })
}

/// Takes out a file whose commit was refused. Failing to is harmless: it is an orphan that no record points to.
pub async fn discard(store: &Store, key: &ObjectKey) {
    if let Err(error) = store.delete(key).await {
        tracing::warn!(key = %key, error = %error, "an uncommitted file stays in the store");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
