//! The states of a job and the allowed moves between them.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// State of a job: `queued -> running -> succeeded | failed | cancelled | expired`, and back to
/// `queued` by retry, drain or a dead worker.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_fn = unknown, parse_err_ty = String)]
pub enum JobState {
    /// Accepted; waiting for a slot.
    Queued,
    /// Claimed by a worker, which holds its lease.
    Running,
    /// Finished with one committed result.
    Succeeded,
    /// Given up; the record holds the failure.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Not begun within the time that the caller allowed.
    Expired,
}

impl JobState {
    /// All states.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns true if no other state may follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Returns true if a job may move from `self` to `next`. The Lua scripts refuse every other
    /// move.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled | Self::Expired),
            Self::Running => matches!(next, Self::Queued | Self::Succeeded | Self::Failed | Self::Cancelled),
            _ => false,
        }
    }

    /// Returns the state's name in Redis and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Refuses a name that no variant of [`JobState`] has.
fn unknown(text: &str) -> String {
    format!("no job state is called {text:?}")
}
