//! Settings of an S3 bucket.

use std::time::Duration;

use secrecy::SecretString;

use super::ObjectKey;

/// What connects us to a bucket.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket's name; it must exist already.
    pub bucket: String,
    /// Stands before every key, joined with a slash.
    pub prefix: Option<ObjectKey>,
    /// URL of a server that is not AWS.
    pub endpoint: Option<String>,
    /// Region; else the AWS environment's, else us-east-1.
    pub region: Option<String>,
    /// The bucket's name goes into the path, not into the host name.
    pub path_style: bool,
    /// Fixed credentials; else the AWS chain (variables, profile, web identity, instance role).
    pub credentials: Option<StaticCredentials>,
    /// Limits on waiting.
    pub timeouts: S3Timeouts,
}

impl S3Settings {
    /// Settings for a bucket on AWS with the AWS chain's credentials.
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
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: SecretString,
}

/// How long an operation may wait.
#[derive(Debug, Clone, Copy)]
pub struct S3Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For one try: 8 MB at 4 Mbit/s.
    pub attempt: Duration,
    /// For the operation with all its tries and the whole body.
    pub operation: Duration,
}

impl Default for S3Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), attempt: Duration::from_secs(20), operation: Duration::from_secs(45) }
    }
}
