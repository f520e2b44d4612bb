//! Lanes: the queue's streams of work, by urgency.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Urgency of a job. The order of the variants is the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Interactive: the caller plays the audio while it is generated.
    Live,
    /// Ordinary: the caller expects the result soon.
    #[default]
    Standard,
    /// Not urgent: runs if there is spare capacity.
    Bulk,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Standard, Self::Bulk];

    /// Returns the lane's weight: its share of the fleet relative to the other lanes, in audio.
    #[must_use]
    pub const fn weight(self) -> u32 {
        match self {
            Self::Live => 16,
            Self::Standard => 4,
            Self::Bulk => 1,
        }
    }

    /// Returns the lane's name in keys, metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lane {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|lane| lane.name() == text);
        found.ok_or_else(|| Invalid::malformed("lane", text, "live, standard or bulk"))
    }
}
