//! Why weights cannot be read, and how far their loading has come.

use std::path::PathBuf;

use csm_shared::models::HubError;

/// Problems of a checkpoint that one error lists.
const MAX_PROBLEMS_SHOWN: usize = 8;

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The folder holds no weights, or not all of them.
    #[error(transparent)]
    Files(#[from] HubError),
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// Neither layout's key names are present.
    #[error("{folder}: neither {original} nor {transformers} is present, so this is no CSM checkpoint")]
    UnknownLayout {
        /// The folder.
        folder: PathBuf,
        /// Name of a tensor in every checkpoint of the original release.
        original: &'static str,
        /// Name of a tensor in every checkpoint of transformers' layout.
        transformers: &'static str,
    },
    /// Tensors are missing or have another shape than the config says.
    #[error("{folder}: {}", listed(problems))]
    Tensors {
        /// The folder.
        folder: PathBuf,
        /// One sentence per tensor.
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

/// How far loading has come.
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
