//! The gated feed-forward block: `down(silu(gate x) * up x)`.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::silu;

use super::attention::linear;

/// Projections of one feed-forward block; gate and up rows are one matrix.
pub(super) struct Mlp {
    /// `(2 * intermediate, hidden)`, gate first.
    gate_up: Tensor,
    /// `(hidden, intermediate)`.
    down: Tensor,
}

impl Mlp {
    pub(super) fn new(gate_up: Tensor, down: Tensor) -> Self {
        Self { gate_up, down }
    }

    /// `x (rows, t, hidden)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let both = linear(x, &self.gate_up)?;
        let width = self.down.dim(1)?;
        let gate = both.narrow(D::Minus1, 0, width)?.contiguous()?;
        let up = both.narrow(D::Minus1, width, width)?;
        linear(&(silu(&gate)? * up)?, &self.down)
    }
}
