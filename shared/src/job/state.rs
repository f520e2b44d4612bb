//! The states of a job and the allowed moves between them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// State of a job: `queued -> running -> succeeded | failed | cancelled | expired`, and back to
/// `queued` by retry, drain or a dead worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Expired];

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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| format!("no job state is called {text:?}"))
    }
}
