//! From a caller's text to the pieces that the model speaks one after another: written forms become words
//! ([`normalise`]), and a long text is cut into sentences ([`pieces`]).
//!
//! Gateway and worker both call this, so what is measured is what is spoken. It knows no model and no limit of a
//! request. English rules only; text in other scripts passes through unchanged.

mod normalise;
mod numbers;
mod sentences;
#[cfg(test)]
mod tests;

pub use normalise::normalise;
pub use sentences::{PIECE_BYTES, Pause, Piece, pieces};
