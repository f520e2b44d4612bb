//! Errors of loading a model and of marking or reading a clip.

use std::path::PathBuf;

/// Failure of SilentCipher. Audio that was to carry its mark must not leave.
#[derive(Debug, thiserror::Error)]
pub enum SilentCipherError {
    /// A file is missing or is not what it should be.
    #[error("cannot read {}: {reason}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A file is larger than any weights of this model.
    #[error("{} has {bytes} bytes, more than the {limit} that a SilentCipher checkpoint may have", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Size of the file, in bytes.
        bytes: u64,
        /// Limit of the size, in bytes.
        limit: u64,
    },
    /// A tensor is not in its file.
    #[error("{} has no tensor {key}", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        key: String,
    },
    /// A tensor has another shape than its neighbours ask for.
    #[error("{key} of {} has shape {shape:?}, not {expected}", .file.display())]
    Shape {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        key: String,
        /// Shape of the tensor.
        shape: Vec<usize>,
        /// The shape that was expected.
        expected: String,
    },
    /// A tensor or a setting has an impossible value.
    #[error("{key} of {} is not {expected}", .file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The tensor's or setting's name.
        key: String,
        /// The value that was expected.
        expected: &'static str,
    },
    /// A clip is too long for its own statistics.
    #[error("the clip has {seconds} s, more than the {limit} s that SilentCipher takes with the clip's own statistics")]
    TooLong {
        /// Whole seconds of the clip.
        seconds: usize,
        /// Limit of the length, in seconds.
        limit: usize,
    },
    /// A sample is infinite or not a number.
    #[error("the clip holds samples that are no finite numbers")]
    NotFinite,
    /// The bounds of a search left no time for a reading.
    #[error("there was no time to read the clip")]
    OutOfTime,
    /// A computation failed.
    #[error("SilentCipher's networks failed: {0}")]
    Compute(#[from] candle_core::Error),
}
