//! Health of the parts that all jobs of a worker share, such as the store.
//!
//! A fault of such a part is a [`SharedFault`]. No such fault counts against a job. It opens the
//! [`Breaker`]: the worker claims nothing until the part's own check passes, and its readiness says
//! why. Finished audio is kept meanwhile.

mod breaker;
mod checks;

pub use breaker::{Breaker, KEEP_MAX, PartError};
pub use checks::Checks;
pub(crate) use checks::marks as check_marks;

/// Part that all jobs of a worker share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum SharedPart {
    /// The store with its disk, bucket and credentials.
    Store,
    /// The marks.
    Marks,
    /// The key and certificates that sign files.
    Signer,
    /// The settings on which the processes of a fleet agree.
    Fleet,
    /// Access to Redis: login, rights and certificates. An outage of Redis opens no breaker, because each
    /// claim shows whether it is over.
    Redis,
}

/// Fault of a part that all jobs share. A repeat by another job would fail as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {reason}")]
pub struct SharedFault {
    /// Part that is out of order.
    pub part: SharedPart,
    /// Error of the part, for operators.
    pub reason: String,
}

impl SharedFault {
    /// Makes the fault of a part from the part's error.
    #[must_use]
    pub fn new(part: SharedPart, error: &impl ToString) -> Self {
        Self { part, reason: error.to_string() }
    }
}
