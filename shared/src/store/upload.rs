//! Objects that are written in pieces: too large for one call, or of a length that is not known
//! before.

use bytes::{Bytes, BytesMut};

use super::folder::FolderUpload;
use super::s3::S3Upload;
use super::{ObjectKey, Store, StoreError};

/// Bytes of a piece. S3 takes no smaller ones than 5 MiB, except for the last.
pub const UPLOAD_PIECE_BYTES: usize = 8 * 1024 * 1024;
/// Largest object that is written in pieces, in bytes: S3 takes 10,000 pieces.
pub const UPLOAD_MAX_BYTES: u64 = 9_999 * UPLOAD_PIECE_BYTES as u64;

/// Object on its way into the store. Nobody sees the object before [`Upload::finish`]; dropped
/// before, nothing of it stays.
#[derive(Debug)]
pub struct Upload {
    key: ObjectKey,
    target: UploadTarget,
    /// Bytes that were not yet passed on: less than a piece.
    waiting: BytesMut,
    /// Bytes of the object so far.
    length: u64,
}

/// Backend of an upload.
#[derive(Debug)]
enum UploadTarget {
    S3(S3Upload),
    Folder(FolderUpload),
}

impl Store {
    /// Begins an object that is written in pieces.
    ///
    /// # Errors
    /// The errors of [`Store::put`].
    pub async fn upload(&self, key: &ObjectKey, content_type: &str) -> Result<Upload, StoreError> {
        let target = match self {
            Self::S3(s3) => UploadTarget::S3(s3.upload(key, content_type).await?),
            Self::Folder(folder) => UploadTarget::Folder(folder.upload(key).await?),
        };
        Ok(Upload { key: key.clone(), target, waiting: BytesMut::new(), length: 0 })
    }
}

impl Upload {
    /// Adds bytes to the object. At most one piece is held in memory.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the object is over [`UPLOAD_MAX_BYTES`]; other classes as the
    /// backend reports them. The upload is of no use then.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.length += bytes.len() as u64;
        if self.length > UPLOAD_MAX_BYTES {
            let (key, length) = (&self.key, self.length);
            return Err(StoreError::Invalid(format!(
                "object {key} has {length} bytes, the limit is {UPLOAD_MAX_BYTES}"
            )));
        }
        while self.waiting.len() + bytes.len() >= UPLOAD_PIECE_BYTES {
            let (now, later) = bytes.split_at(UPLOAD_PIECE_BYTES - self.waiting.len());
            self.waiting.extend_from_slice(now);
            bytes = later;
            let piece = std::mem::take(&mut self.waiting).freeze();
            self.pass_on(piece).await?;
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the object, which becomes visible at once and complete. Returns its length in bytes.
    ///
    /// # Errors
    /// Errors as the backend reports them. There is no object then.
    pub async fn finish(mut self) -> Result<u64, StoreError> {
        let last = std::mem::take(&mut self.waiting).freeze();
        self.pass_on(last).await?;
        match self.target {
            UploadTarget::S3(upload) => upload.finish().await?,
            UploadTarget::Folder(upload) => upload.finish().await?,
        }
        Ok(self.length)
    }

    async fn pass_on(&mut self, piece: Bytes) -> Result<(), StoreError> {
        match &mut self.target {
            UploadTarget::S3(upload) => upload.write(piece).await,
            UploadTarget::Folder(upload) => upload.write(piece).await,
        }
    }
}
