//! Sampling parameters: temperature, top-k and seed, none of which can be out of range.

use super::limits::{DEFAULT_TEMPERATURE, DEFAULT_TOPK, TEMPERATURE_MAX, TOPK};
use super::{Invalid, Reason};

/// Softmax temperature, 0 (greedy) to [`TEMPERATURE_MAX`], never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature(f32);

impl Temperature {
    /// Refuses NaN, infinities, negatives and values over [`TEMPERATURE_MAX`].
    pub fn new(value: f32) -> Result<Self, Invalid> {
        if value.is_finite() && (0.0..=TEMPERATURE_MAX).contains(&value) {
            return Ok(Self(value));
        }
        let refused = Invalid::malformed("temperature", value, format!("0 (greedy) to {TEMPERATURE_MAX}"));
        Err(Invalid { reason: Reason::OutOfRange, status: TOPK.status, ..refused })
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }

    /// Returns true if sampling always takes the most likely code.
    #[must_use]
    pub fn is_greedy(self) -> bool {
        self.0 == 0.0
    }
}

impl Default for Temperature {
    fn default() -> Self {
        Self(DEFAULT_TEMPERATURE)
    }
}

/// Number of most likely codes that sampling draws from: 1 to the codebook's 2048.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK(u32);

impl TopK {
    /// Refuses numbers outside [`TOPK`].
    pub fn new(value: u32) -> Result<Self, Invalid> {
        if TOPK.allows(value.into()) { Ok(Self(value)) } else { Err(Invalid::outside("topk", value, &TOPK)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for TopK {
    fn default() -> Self {
        Self(DEFAULT_TOPK)
    }
}

/// Seed of the counter-based random numbers: the same seed repeats the same speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// Makes a seed; any number is valid.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Temperature, top-k and seed together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Softmax temperature.
    pub temperature: Temperature,
    /// Number of most likely codes to draw from.
    pub topk: TopK,
    /// Seed of the random numbers.
    pub seed: Seed,
}
