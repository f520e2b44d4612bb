//! Error of a reader.

use csm_shared::job::Invalid;

/// Reason why a request could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldError {
    /// Value that is refused.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Others take all places for decoding, or the memory.
    #[error("too many recordings are being decoded")]
    Overloaded,
}
