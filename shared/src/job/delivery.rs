//! The delivery of a result: as a file, or as a file and live samples.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

use super::limits::LIVE_AUDIO_MS;
use super::{AudioBudget, Invalid, Speed};

/// Way in which a result reaches its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_fn = unknown, parse_err_ty = Invalid)]
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
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Refuses live audio of a result that may become longer than [`LIVE_AUDIO_MS`].
    ///
    /// # Errors
    /// [`Invalid`] if the budget exceeds the limit.
    pub fn check(self, budget: AudioBudget, speed: Speed) -> Result<(), Invalid> {
        let ms = speed.stretched_ms(budget.ms());
        if !self.is_live() || ms <= LIVE_AUDIO_MS.max {
            return Ok(());
        }
        let value = format!("{self}, of up to {ms} ms of audio (max_audio_length_ms)");
        Err(Invalid::outside("delivery", value, &LIVE_AUDIO_MS))
    }

    /// Returns true if samples go out during generation.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Both)
    }
}

/// Refuses a name that no variant of [`Delivery`] has.
fn unknown(text: &str) -> Invalid {
    Invalid::malformed("delivery", text, "store or both")
}
