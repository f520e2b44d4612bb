//! Errors of a store, classed by what the caller should do.

/// Error of a store operation. Messages name the object, never credentials.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store has no object under this key.
    #[error("no object {0} in the store")]
    NotFound(String),
    /// The store did not answer in time; the operation may or may not have happened.
    #[error("the store did not answer in time: {0}")]
    Timeout(String),
    /// The store is down, overloaded or full for the moment.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store denies access: credentials are missing, wrong or not allowed to do this.
    #[error("the store denied access: {0}")]
    Denied(String),
    /// The request or a setting is wrong; the same request will fail again.
    #[error("{0}")]
    Invalid(String),
}

impl StoreError {
    /// Returns true if repeating the operation is pointless until an operator changes something.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotFound(_) | Self::Denied(_) | Self::Invalid(_) => true,
            Self::Timeout(_) | Self::Unavailable(_) => false,
        }
    }
}
