//! Random draws from a seed, the same in every run.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

pub(crate) struct AttackRng(ChaCha8Rng);

impl AttackRng {
    /// Seeds the draws. Each `purpose` draws other numbers from the same `seed`.
    pub(crate) fn new(purpose: u32, seed: usize) -> Self {
        Self(ChaCha8Rng::seed_from_u64(u64::from(purpose) << 32 | seed as u64))
    }

    /// Draws from [0, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Draws from [low, high).
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Draws from 0 to `limit - 1`. The bias of the remainder is below 1 in 10^5 for all limits
    /// here.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0.next_u32() as usize % limit.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Draws a number of variance one, near enough to normal.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
