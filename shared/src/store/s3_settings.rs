//! Settings of the S3 store.

use std::time::Duration;

use secrecy::SecretString;

use super::ObjectKey;

/// Settings of the connection to a bucket.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Name of the bucket, which must exist.
    pub bucket: String,
    /// Prefix of every key, joined with a slash.
    pub prefix: Option<ObjectKey>,
    /// URL of a server other than AWS.
    pub endpoint: Option<String>,
    /// Region; default: that of the AWS environment, else us-east-1.
    pub region: Option<String>,
    /// True if the bucket's name goes into the path instead of the host name.
    pub path_style: bool,
    /// Fixed credentials; default: the AWS chain (variables, profile, web identity, instance role).
    pub credentials: Option<StaticCredentials>,
    /// Time limits of each operation.
    pub timeouts: S3Timeouts,
}

impl S3Settings {
    /// Makes settings for a bucket on AWS with the credentials of the AWS chain.
    #[must_use]
    pub fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: None,
            endpoint: None,
            region: None,
            path_style: false,
            credentials: None,
            timeouts: S3Timeouts::default(),
        }
    }
}

/// An access key and its secret.
#[derive(Debug, Clone)]
pub struct StaticCredentials {
    /// Public half.
    pub access_key: String,
    /// Secret half.
    pub secret_key: SecretString,
}

/// Time limits of an operation.
#[derive(Debug, Clone, Copy)]
pub struct S3Timeouts {
    /// Limit for connecting.
    pub connect: Duration,
    /// Limit for one try: 8 MB at 4 Mbit/s.
    pub attempt: Duration,
    /// Limit for the operation, with all its tries and the whole body.
    pub operation: Duration,
}

impl Default for S3Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), attempt: Duration::from_secs(20), operation: Duration::from_secs(45) }
    }
}
