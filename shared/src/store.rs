//! The blob store: workers put finished audio under a key, callers get it. Both backends, an S3
//! bucket and a folder, keep the same contract.
//!
//! A key carries job and attempt, so it is written once. Repeating a `put` of the same bytes is
//! harmless, and no reader ever sees a partial object. The tests in `tests/it/store.rs` check this
//! for both backends.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

mod args;
mod error;
mod folder;
mod object_key;
// Without the feature `s3` everything else is the same, but no bucket can be opened.
#[cfg_attr(not(feature = "s3"), path = "store/s3_absent.rs")]
mod s3;
#[cfg(feature = "s3")]
mod s3_error;
mod s3_settings;
mod upload;

pub use args::{StoreArgs, StoreLocation};
pub use error::StoreError;
pub use folder::FolderStore;
pub use object_key::{InvalidObjectKey, OBJECT_KEY_MAX_BYTES, ObjectKey};
pub use s3::S3Store;
pub use s3_settings::{S3Settings, S3Timeouts, StaticCredentials};
pub use upload::{UPLOAD_MAX_BYTES, UPLOAD_PIECE_BYTES, Upload};

/// Largest object that this store reads or writes at once, in bytes: twice the longest audio of one job.
pub const OBJECT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Content of a probe: 4 KiB that are not zero, so that a full disk has to find room for them.
static PROBE: [u8; 4_096] = [0xa5; 4_096];
/// Media type of a probe.
const PROBE_MEDIA_TYPE: &str = "application/octet-stream";

/// Longest lifetime of a presigned URL: the limit of AWS signature version 4.
pub const PRESIGN_MAX: Duration = Duration::from_hours(7 * 24);

/// A store of blobs. Cheap to clone: all clones share one client.
#[derive(Debug, Clone)]
pub enum Store {
    /// A bucket behind the S3 protocol.
    S3(S3Store),
    /// A local folder, or a folder on a volume that gateway and workers share.
    Folder(FolderStore),
}

impl Store {
    /// Writes `bytes` as the object `key`, durably. The object becomes visible at once and
    /// complete.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the object is over [`OBJECT_MAX_BYTES`] or the bucket or folder
    /// does not exist; other classes as the backend reports them.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes, content_type: &str) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        if length > OBJECT_MAX_BYTES {
            return Err(StoreError::Invalid(format!(
                "object {key} has {length} bytes, the limit is {OBJECT_MAX_BYTES}"
            )));
        }
        match self {
            Self::S3(s3) => s3.put(key, bytes, content_type).await,
            Self::Folder(folder) => folder.put(key, bytes).await,
        }
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object; [`StoreError::Invalid`] if it is over
    /// [`OBJECT_MAX_BYTES`].
    pub async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        match self {
            Self::S3(s3) => s3.get(key, None).await,
            Self::Folder(folder) => folder.get(key, None).await,
        }
    }

    /// Reads the bytes `range` of the object. An end past the last byte is cut to it, as in HTTP
    /// ranges.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the range is empty, over [`OBJECT_MAX_BYTES`], or starts past the
    /// last byte; [`StoreError::NotFound`] if there is no such object.
    pub async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() || range.end - range.start > OBJECT_MAX_BYTES {
            return Err(StoreError::Invalid(format!(
                "range {}..{} of {key} must hold 1 to {OBJECT_MAX_BYTES} bytes",
                range.start, range.end
            )));
        }
        match self {
            Self::S3(s3) => s3.get(key, Some(range)).await,
            Self::Folder(folder) => folder.get(key, Some(range)).await,
        }
    }

    /// Returns the object's length in bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object.
    pub async fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        match self {
            Self::S3(s3) => s3.size(key).await,
            Self::Folder(folder) => folder.size(key).await,
        }
    }

    /// Removes the object. A missing object counts as removed.
    ///
    /// # Errors
    /// Errors as the backend reports them, never [`StoreError::NotFound`].
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self {
            Self::S3(s3) => s3.delete(key).await,
            Self::Folder(folder) => folder.delete(key).await,
        }
    }

    /// Returns a URL from which anyone may GET the object until `lifetime` is over. For a folder
    /// the result is `None`: the gateway itself has to serve its objects. The call does not check
    /// that the object exists.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if `lifetime` is under a second or over [`PRESIGN_MAX`];
    /// [`StoreError::Denied`] if there are no credentials to sign with.
    pub async fn presign_get(&self, key: &ObjectKey, lifetime: Duration) -> Result<Option<String>, StoreError> {
        if lifetime < Duration::from_secs(1) || lifetime > PRESIGN_MAX {
            return Err(StoreError::Invalid(format!(
                "a presigned URL lives 1 to {} seconds, not {}",
                PRESIGN_MAX.as_secs(),
                lifetime.as_secs()
            )));
        }
        match self {
            Self::S3(s3) => s3.presign_get(key, lifetime).await.map(Some),
            Self::Folder(_) => Ok(None),
        }
    }

    /// Checks that objects can be written: puts a small object and deletes it again. Unlike
    /// [`Store::check`], this notices a full disk and credentials that may not write.
    ///
    /// The object goes under [`ObjectKey::probe`]. An object that cannot be deleted stays until the
    /// next probe of the same writer.
    ///
    /// # Errors
    /// The errors of [`Store::put`].
    pub async fn probe(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.put(key, Bytes::from_static(&PROBE), PROBE_MEDIA_TYPE).await?;
        if let Err(error) = self.delete(key).await {
            tracing::debug!(key = %key, error = %error, "cannot delete probe from store");
        }
        Ok(())
    }

    /// Checks that the bucket or folder exists and grants access.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if there is no such bucket or folder; [`StoreError::Denied`] if the
    /// credentials are wrong; [`StoreError::Unavailable`] or [`StoreError::Timeout`] if the server
    /// does not answer.
    pub async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::S3(s3) => s3.check().await,
            Self::Folder(folder) => folder.check().await,
        }
    }
}
