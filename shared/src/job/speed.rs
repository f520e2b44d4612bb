//! The tempo of the speech.

use super::limits::{MAX_AUDIO_LENGTH_MS, SPEED_MAX, SPEED_MIN};
use super::{AudioBudget, Invalid, Reason};

/// Tempo of the speech relative to the model's own, [`SPEED_MIN`] to [`SPEED_MAX`]: 2 is twice as
/// fast. The pitch stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// Refuses numbers outside [`SPEED_MIN`] to [`SPEED_MAX`].
    pub fn new(value: f64) -> Result<Self, Invalid> {
        if (SPEED_MIN..=SPEED_MAX).contains(&value) {
            return Ok(Self(value));
        }
        let refused = Invalid::malformed("speed", value, format!("{SPEED_MIN} to {SPEED_MAX}"));
        Err(Invalid { reason: Reason::OutOfRange, status: MAX_AUDIO_LENGTH_MS.status, ..refused })
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Returns true if the speech keeps the model's own tempo.
    #[must_use]
    pub fn is_original(self) -> bool {
        self.0 == 1.0
    }

    /// Returns the length of speech at this tempo, in milliseconds, that takes `ms` at the model's.
    #[must_use]
    pub fn stretched_ms(self, ms: u64) -> u64 {
        (ms as f64 / self.0).ceil() as u64
    }

    /// Refuses a tempo at which a result of this budget could become longer than any result may.
    ///
    /// # Errors
    /// [`Invalid`] that names `speed`.
    pub fn check(self, budget: AudioBudget) -> Result<(), Invalid> {
        let ms = self.stretched_ms(budget.ms());
        if self.0 >= 1.0 || MAX_AUDIO_LENGTH_MS.allows(ms) {
            return Ok(());
        }
        let value = format!("{}, with up to {} ms of speech (max_audio_length_ms)", self.0, budget.ms());
        Err(Invalid::outside("speed", value, &MAX_AUDIO_LENGTH_MS))
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self(1.0)
    }
}
