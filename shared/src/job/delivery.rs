//! The delivery of a result: as a file, or as a file and live samples.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::LIVE_AUDIO_MS;
use super::{AudioBudget, Invalid};

/// Way in which a result reaches its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// As a file, once it is finished.
    #[default]
    Store,
    /// As a file, and as samples with the job's events during generation.
    Both,
}

impl Delivery {
    /// Returns the name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Both => "both",
        }
    }

    /// Refuses live audio of a result that may become longer than [`LIVE_AUDIO_MS`].
    ///
    /// # Errors
    /// [`Invalid`] if the budget exceeds the limit.
    pub fn check(self, budget: AudioBudget) -> Result<(), Invalid> {
        if !self.is_live() || LIVE_AUDIO_MS.allows(budget.ms()) {
            return Ok(());
        }
        let value = format!("{self}, of up to {} ms of audio (max_audio_length_ms)", budget.ms());
        Err(Invalid::outside("delivery", value, &LIVE_AUDIO_MS))
    }

    /// Returns true if samples go out during generation.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Both)
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Delivery {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "store" => Ok(Self::Store),
            "both" => Ok(Self::Both),
            _ => Err(Invalid::malformed("delivery", text, "store or both")),
        }
    }
}
