//! Errors of reading weights, and the progress of loading.

use std::path::PathBuf;

use csm_shared::models::HubError;

/// Largest number of problems that an error lists.
const MAX_PROBLEMS_SHOWN: usize = 8;

/// Error of reading weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The folder lacks some or all weight files.
    #[error(transparent)]
    Files(#[from] HubError),
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Message of the reader.
        reason: String,
    },
    /// The key names of neither layout are present.
    #[error("{folder}: neither {original} nor {transformers} is present, so this is no CSM checkpoint")]
    UnknownLayout {
        /// Path of the folder.
        folder: PathBuf,
        /// Name of a tensor in all weights of the original layout.
        original: &'static str,
        /// Name of a tensor in all weights of transformers' layout.
        transformers: &'static str,
    },
    /// Tensors are missing or do not have the shape that the config gives.
    #[error("{folder}: {}", listed(problems))]
    Tensors {
        /// Path of the folder.
        folder: PathBuf,
        /// Problems, one sentence per tensor.
        problems: Vec<String>,
    },
    /// The device refused a tensor.
    #[error("device: {0}")]
    Device(#[from] candle_core::Error),
}

fn listed(problems: &[String]) -> String {
    let shown = problems.iter().take(MAX_PROBLEMS_SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    match problems.len().saturating_sub(MAX_PROBLEMS_SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// Progress of loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadProgress {
    /// Tensors on the device.
    pub tensors_done: usize,
    /// Tensors to load.
    pub tensors_total: usize,
    /// Bytes of the file that are on the device.
    pub bytes_done: u64,
    /// Bytes of the file to load.
    pub bytes_total: u64,
}
