//! The store in an S3 bucket, on AWS or on any server that speaks the protocol.
//!
//! Every wait has a limit ([`S3Timeouts`]) and the number of retries is limited; `s3_error`
//! converts the remaining errors to classes. For servers other than AWS the newer default checksums
//! are switched off, because many servers refuse them.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use super::s3_error::{bucket_class, class_of};
use super::s3_settings::{S3Settings, S3Timeouts, StaticCredentials};
use super::{OBJECT_MAX_BYTES, ObjectKey, Store, StoreError};

/// Tries of one operation, the first included; the SDK waits with backoff and jitter between them.
const ATTEMPTS: u32 = 3;

/// Region if neither the settings nor the AWS environment name one; servers other than AWS mostly
/// ignore it.
const DEFAULT_REGION: &str = "us-east-1";

/// Opens the bucket as a store.
///
/// # Errors
/// None in a program with S3; see `s3_absent.rs` for one without.
pub(super) async fn open(settings: S3Settings) -> Result<Store, StoreError> {
    Ok(Store::S3(S3Store::connect(settings).await))
}

/// A store in a bucket. Clones share one client.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: Option<ObjectKey>,
    timeouts: S3Timeouts,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("bucket", &self.bucket).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl S3Store {
    /// Makes the client without any request to the bucket. The AWS chain may read its files and
    /// variables.
    pub async fn connect(settings: S3Settings) -> Self {
        let shared = load_config(&settings).await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(settings.path_style);
        if settings.endpoint.is_some() {
            config = config
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        Self {
            client: Client::from_conf(config.build()),
            bucket: settings.bucket,
            prefix: settings.prefix,
            timeouts: settings.timeouts,
        }
    }

    pub(super) async fn put(&self, key: &ObjectKey, bytes: Bytes, content_type: &str) -> Result<(), StoreError> {
        let name = self.name(key);
        let request = self.client.put_object().bucket(&self.bucket).key(&name).content_type(content_type);
        let request = request.body(ByteStream::from(bytes)).send();
        request.await.map(|_| ()).map_err(|error| class_of(&name, &error))
    }

    pub(super) async fn upload(&self, key: &ObjectKey, content_type: &str) -> Result<S3Upload, StoreError> {
        let name = self.name(key);
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(&name).content_type(content_type);
        let begun = begin.send().await.map_err(|error| class_of(&name, &error))?;
        let id =
            begun.upload_id.ok_or_else(|| StoreError::Unavailable(format!("{name}: no upload id in the answer")))?;
        Ok(S3Upload { client: self.client.clone(), bucket: self.bucket.clone(), name, id: Some(id), parts: Vec::new() })
    }

    pub(super) async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let name = self.name(key);
        let header = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let request = self.client.get_object().bucket(&self.bucket).key(&name).set_range(header);
        let read = async {
            let object = request.send().await.map_err(|error| class_of(&name, &error))?;
            read_body(&name, object).await
        };
        // The SDK's own limits end with the headers; this limit covers the body too.
        match tokio::time::timeout(self.timeouts.operation, read).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Timeout(name)),
        }
    }

    pub(super) async fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        let name = self.name(key);
        let head = self.client.head_object().bucket(&self.bucket).key(&name).send();
        let head = head.await.map_err(|error| class_of(&name, &error))?;
        length_of(&name, head.content_length())
    }

    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let name = self.name(key);
        let request = self.client.delete_object().bucket(&self.bucket).key(&name).send();
        match request.await.map_err(|error| class_of(&name, &error)) {
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn presign_get(&self, key: &ObjectKey, lifetime: Duration) -> Result<String, StoreError> {
        let name = self.name(key);
        let signing = PresigningConfig::expires_in(lifetime).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let request = self.client.get_object().bucket(&self.bucket).key(&name).presigned(signing);
        request.await.map(|signed| signed.uri().to_owned()).map_err(|error| class_of(&name, &error))
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let request = self.client.head_bucket().bucket(&self.bucket).send();
        request.await.map(|_| ()).map_err(|error| bucket_class(&self.bucket, &error))
    }

    fn name(&self, key: &ObjectKey) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{key}"),
            None => key.to_string(),
        }
    }
}

/// Multipart upload of an object.
#[derive(Debug)]
pub(super) struct S3Upload {
    client: Client,
    bucket: String,
    name: String,
    /// Id of the upload; `None` after its end.
    id: Option<String>,
    parts: Vec<CompletedPart>,
}

impl S3Upload {
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let part = self.client.upload_part().bucket(&self.bucket).key(&self.name).set_upload_id(self.id.clone());
        let sent = part.part_number(number).body(ByteStream::from(piece)).send().await;
        let sent = sent.map_err(|error| class_of(&self.name, &error))?;
        self.parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts))).build();
        let end = self.client.complete_multipart_upload().bucket(&self.bucket).key(&self.name);
        let ended = end.set_upload_id(self.id.clone()).multipart_upload(parts).send().await;
        ended.map_err(|error| class_of(&self.name, &error))?;
        self.id = None;
        Ok(())
    }
}

impl Drop for S3Upload {
    /// Abandons the parts of an upload that was not finished. If the process ends before, a rule of the
    /// bucket has to remove them.
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), Handle::try_current()) else { return };
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.name).upload_id(id);
        let name = std::mem::take(&mut self.name);
        runtime.spawn(async move {
            if let Err(error) = abort.send().await {
                tracing::warn!(key = %name, error = %DisplayErrorContext(error), "cannot abandon upload to store");
            }
        });
    }
}

async fn load_config(settings: &S3Settings) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.timeouts.connect)
        .operation_attempt_timeout(settings.timeouts.attempt)
        .operation_timeout(settings.timeouts.operation)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(StaticCredentials { access_key, secret_key }) = &settings.credentials {
        let secret = secret_key.expose_secret();
        loader = loader.credentials_provider(Credentials::new(access_key, secret, None, None, "csm-settings"));
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    } else if settings.endpoint.is_some() {
        loader = loader.region(Region::new(DEFAULT_REGION));
    }
    let config = loader.load().await;
    if config.region().is_some() {
        return config;
    }
    config.into_builder().region(Region::new(DEFAULT_REGION)).build()
}

async fn read_body(name: &str, object: GetObjectOutput) -> Result<Bytes, StoreError> {
    let length = length_of(name, object.content_length())?;
    if length > OBJECT_MAX_BYTES {
        return Err(StoreError::Invalid(format!("object {name} has {length} bytes, the limit is {OBJECT_MAX_BYTES}")));
    }
    let body = object.body.collect().await;
    let broken_off = |error| StoreError::Unavailable(format!("{name}: {}", DisplayErrorContext(error)));
    body.map(|body| body.into_bytes()).map_err(broken_off)
}

fn length_of(name: &str, length: Option<i64>) -> Result<u64, StoreError> {
    length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| StoreError::Unavailable(format!("{name}: no length in the answer")))
}
