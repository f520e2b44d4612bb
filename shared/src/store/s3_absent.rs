//! The S3 store of a program that was built without S3: no value of it exists.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::s3_settings::S3Settings;
use super::{ObjectKey, Store, StoreError};

/// Store of a program without S3. No value of this type exists.
#[derive(Debug, Clone)]
pub enum NoS3 {}

/// Bucket as a store, which this program does not have.
pub type S3Store = NoS3;

/// Upload to a bucket. No value of this type exists.
#[derive(Debug)]
pub(super) enum S3Upload {}

impl S3Upload {
    pub(super) async fn write(&mut self, _: Bytes) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) async fn finish(self) -> Result<(), StoreError> {
        match self {}
    }
}

/// Refuses the bucket.
pub(super) async fn open(settings: S3Settings) -> Result<Store, StoreError> {
    Err(StoreError::Invalid(format!(
        "CSM_STORE: this program was built without S3 (feature `s3`), so it cannot use the bucket {}; \
         folder:PATH works, and `cargo build --release -p csm-cli` builds a program with S3",
        settings.bucket
    )))
}

impl NoS3 {
    pub(super) async fn put(&self, _: &ObjectKey, _: Bytes, _: &str) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) async fn upload(&self, _: &ObjectKey, _: &str) -> Result<S3Upload, StoreError> {
        match *self {}
    }

    pub(super) async fn get(&self, _: &ObjectKey, _: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        match *self {}
    }

    pub(super) async fn size(&self, _: &ObjectKey) -> Result<u64, StoreError> {
        match *self {}
    }

    pub(super) async fn delete(&self, _: &ObjectKey) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) async fn presign_get(&self, _: &ObjectKey, _: Duration) -> Result<String, StoreError> {
        match *self {}
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        match *self {}
    }
}
