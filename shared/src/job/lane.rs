//! Lanes: the queue's streams of work, by urgency.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

use super::Invalid;

/// Urgency of a job. The order of the variants is the order of service.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_fn = unknown, parse_err_ty = Invalid)]
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
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Refuses a name that no variant of [`Lane`] has.
fn unknown(text: &str) -> Invalid {
    Invalid::malformed("lane", text, "live, standard or bulk")
}
