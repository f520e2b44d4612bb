//! The record of a file that a caller uploaded, or that a batch left.

use csm_shared::job::Tenant;
use serde::{Deserialize, Serialize};

use super::batch_record::tenant_name;

/// Purpose of the files that callers upload.
pub const FILE_PURPOSE: &str = "batch";

/// The record of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Id of the file.
    pub id: String,
    /// Tenant that owns the file.
    #[serde(with = "tenant_name")]
    pub tenant: Tenant,
    /// Name that the caller gave the file.
    pub filename: String,
    /// Purpose of the file: [`FILE_PURPOSE`], or `batch_output`.
    pub purpose: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Key of the file in the store.
    pub key: String,
    /// Time of the upload, in Unix seconds.
    pub created_at: i64,
    /// Time at which record and file are removed, in Unix seconds.
    pub expires_at: i64,
}
