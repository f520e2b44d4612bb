//! The states of a job and their only legal moves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands. `queued -> running -> succeeded | failed | cancelled | expired`, and back to `queued` by retry,
/// drain or a dead worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Accepted, waiting for a slot.
    Queued,
    /// A worker holds its lease.
    Running,
    /// One result is committed.
    Succeeded,
    /// Given up; the record says why.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Not begun in the time that the caller allowed.
    Expired,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Expired];

    /// True when nothing may follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// True when a job may move from `self` to `next`. The Lua scripts refuse every other move.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled | Self::Expired),
            Self::Running => matches!(next, Self::Queued | Self::Succeeded | Self::Failed | Self::Cancelled),
            _ => false,
        }
    }

    /// The state's name in Redis and the API.
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
