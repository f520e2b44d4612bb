//! The blob store: finished audio goes in under a key, callers get it out. Two backends, one contract: an S3 bucket
//! and a folder.
//!
//! A key is written once (it carries job and attempt), so a repeated `put` of the same bytes is harmless and no reader
//! ever sees half an object. Both backends are held to this by one suite, `tests/it/store.rs`.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

mod args;
mod error;
mod folder;
mod object_key;
// Without the feature everything else is the same, but no bucket is opened.
#[cfg_attr(not(feature = "s3"), path = "store/s3_absent.rs")]
mod s3;
#[cfg(feature = "s3")]
mod s3_error;
mod s3_settings;

pub use args::{StoreArgs, StoreLocation};
pub use error::StoreError;
pub use folder::FolderStore;
pub use object_key::{InvalidObjectKey, OBJECT_KEY_MAX_BYTES, ObjectKey};
pub use s3::S3Store;
pub use s3_settings::{S3Settings, S3Timeouts, StaticCredentials};

/// The largest object this store reads or writes, in bytes: twice the longest audio of one job.
pub const OBJECT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The longest a presigned URL may live: the limit of AWS signature version 4.
pub const PRESIGN_MAX: Duration = Duration::from_hours(7 * 24);

/// A place for blobs. Cheap to clone: all clones share one client.
#[derive(Debug, Clone)]
pub enum Store {
    /// A bucket behind the S3 protocol.
    S3(S3Store),
    /// A folder on this machine, or on a volume that gateway and workers share.
    Folder(FolderStore),
}

impl Store {
    /// Writes `bytes` as the whole object `key`, durably, and visible at once and complete.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the object is over [`OBJECT_MAX_BYTES`] or the bucket or folder does not exist; the
    /// other classes as the backend reports them.
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

    /// The whole object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object; [`StoreError::Invalid`] if it is over [`OBJECT_MAX_BYTES`].
    pub async fn get(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        match self {
            Self::S3(s3) => s3.get(key, None).await,
            Self::Folder(folder) => folder.get(key, None).await,
        }
    }

    /// The bytes `range` of the object; an end past the last byte is cut to it, as HTTP ranges do.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the range is empty, over [`OBJECT_MAX_BYTES`], or starts past the last byte;
    /// [`StoreError::NotFound`].
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

    /// The object's length in bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such object.
    pub async fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        match self {
            Self::S3(s3) => s3.size(key).await,
            Self::Folder(folder) => folder.size(key).await,
        }
    }

    /// Removes the object; one that is not there counts as removed.
    ///
    /// # Errors
    /// As the backend reports them, never [`StoreError::NotFound`].
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self {
            Self::S3(s3) => s3.delete(key).await,
            Self::Folder(folder) => folder.delete(key).await,
        }
    }

    /// A URL from which anyone may GET the object until `lifetime` is over; `None` for a folder, whose objects have
    /// to be served by the gateway itself. Whether the object exists is not looked up.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if `lifetime` is under a second or over [`PRESIGN_MAX`]; [`StoreError::Denied`] if there
    /// are no credentials to sign with.
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

    /// Readiness: the bucket or folder is there and lets us in.
    ///
    /// # Errors
    /// The class tells what to do: [`StoreError::Invalid`] no such bucket or folder, [`StoreError::Denied`] wrong
    /// credentials, [`StoreError::Unavailable`] or [`StoreError::Timeout`] nobody answers.
    pub async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::S3(s3) => s3.check().await,
            Self::Folder(folder) => folder.check().await,
        }
    }
}
