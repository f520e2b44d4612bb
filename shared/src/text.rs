//! From a caller's text to the sentences that the model speaks one after another: written forms become words
//! ([`normalise`]), and a long text is cut into sentences ([`sentences()`]).
//!
//! Gateway and worker both call this, so what is measured is what is spoken. It knows no model and no limit of a
//! request. English rules only; text in other scripts passes through unchanged.

mod normalise;
mod numbers;
mod sentences;
#[cfg(test)]
mod tests;

pub use normalise::normalise;
pub use sentences::{Pause, SENTENCE_BYTES, Sentence, sentences};
