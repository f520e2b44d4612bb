//! The settings of the store, shared by gateway, worker and command line. Their errors name the
//! variable.

use std::path::PathBuf;
use std::str::FromStr;

use super::{FolderStore, ObjectKey, S3Settings, Store, StoreError, s3};

/// Options for the store of finished audio. Credentials for S3 come from the standard AWS
/// variables, files and roles.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// Store of finished audio: folder:PATH or s3:BUCKET[/PREFIX].
    #[arg(long = "store", env = "CSM_STORE", value_name = "CSM_STORE")]
    pub location: StoreLocation,

    /// URL of an S3 server other than AWS, such as http://minio:9000.
    #[arg(long = "s3-endpoint", env = "CSM_S3_ENDPOINT", value_name = "CSM_S3_ENDPOINT", value_parser = parse_endpoint)]
    pub endpoint: Option<String>,

    /// Region of the bucket. Default: AWS_REGION or the AWS profile, else us-east-1.
    #[arg(long = "s3-region", env = "CSM_S3_REGION", value_name = "CSM_S3_REGION")]
    pub region: Option<String>,

    /// Put the bucket's name into the path instead of the host name. Default: true with an
    /// endpoint, false on AWS.
    #[arg(long = "s3-path-style", env = "CSM_S3_PATH_STYLE", value_name = "CSM_S3_PATH_STYLE")]
    pub path_style: Option<bool>,
}

impl StoreArgs {
    /// Makes the store, without any request over the network; [`Store::check`] makes one.
    ///
    /// # Errors
    /// The errors of [`FolderStore::open`].
    pub async fn build(&self) -> Result<Store, StoreError> {
        match &self.location {
            StoreLocation::Folder(path) => Ok(Store::Folder(FolderStore::open(path)?)),
            StoreLocation::S3 { bucket, prefix } => {
                let endpoint = set(self.endpoint.as_ref());
                let settings = S3Settings {
                    prefix: prefix.clone(),
                    path_style: self.path_style.unwrap_or(endpoint.is_some()),
                    endpoint,
                    region: set(self.region.as_ref()),
                    ..S3Settings::new(bucket)
                };
                s3::open(settings).await
            }
        }
    }
}

/// Treats an empty variable as not set, because compose files set empty variables.
fn set(value: Option<&String>) -> Option<String> {
    value.filter(|text| !text.is_empty()).cloned()
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with("http://") || text.starts_with("https://") {
        Ok(text.to_owned())
    } else {
        Err("CSM_S3_ENDPOINT must start with http:// or https://".to_owned())
    }
}

/// The parsed `CSM_STORE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// `folder:PATH`
    Folder(PathBuf),
    /// `s3:BUCKET[/PREFIX]`
    S3 {
        /// The bucket's name.
        bucket: String,
        /// Prefix of every key, joined with a slash.
        prefix: Option<ObjectKey>,
    },
}

impl FromStr for StoreLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "CSM_STORE must be folder:PATH or s3:BUCKET[/PREFIX]";
        match text.split_once(':') {
            Some(("folder", path)) if !path.is_empty() => Ok(Self::Folder(path.into())),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_bucket_name(bucket) {
                    return Err(format!("{FORM}; {bucket:?} is no bucket name (3 to 63 of a-z, 0-9, dot, dash)"));
                }
                let prefix = prefix.trim_end_matches('/');
                let prefix = (!prefix.is_empty()).then(|| ObjectKey::new(prefix)).transpose();
                Ok(Self::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.map_err(|error| format!("CSM_STORE: the prefix as {error}"))?,
                })
            }
            _ => Err(format!("{FORM}, not {text:?}")),
        }
    }
}

/// Checks characters and length of a bucket name by S3's rules.
fn is_bucket_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    (3..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct StoreArgsCli {
        #[command(flatten)]
        store: StoreArgs,
    }

    #[test]
    fn locations_are_parsed() {
        let prefix = |text: &str| Some(ObjectKey::new(text).unwrap());
        let s3 = |prefix| StoreLocation::S3 { bucket: "bucket".to_owned(), prefix };
        assert_eq!("folder:/data/x".parse(), Ok(StoreLocation::Folder("/data/x".into())));
        assert_eq!("folder:rel:x".parse(), Ok(StoreLocation::Folder("rel:x".into())));
        assert_eq!("s3:bucket".parse(), Ok(s3(None)));
        assert_eq!("s3:bucket/".parse(), Ok(s3(None)));
        assert_eq!("s3:bucket/team/a".parse(), Ok(s3(prefix("team/a"))));
    }

    #[test]
    fn errors_name_the_variable() {
        for bad in ["", "folder:", "bucket", "s3:", "s3:Bucket", "s3:-ab", "s3:bucket/../x", "gcs:bucket"] {
            let error = StoreArgsCli::try_parse_from(["x", "--store", bad]).unwrap_err().to_string();
            assert!(error.contains("CSM_STORE"), "{bad:?}: {error}");
        }
        let args = ["x", "--store", "s3:bucket", "--s3-endpoint", "minio:9000"];
        assert!(StoreArgsCli::try_parse_from(args).unwrap_err().to_string().contains("CSM_S3_ENDPOINT"));
        let args = ["x", "--store", "s3:bucket", "--s3-path-style", "perhaps"];
        assert!(StoreArgsCli::try_parse_from(args).unwrap_err().to_string().contains("CSM_S3_PATH_STYLE"));
    }
}
