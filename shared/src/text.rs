//! Preparation of a caller's text for the model, sentence by sentence. [`normalise`] turns written
//! forms into words; [`sentences()`] cuts a long text into sentences.
//!
//! Gateway and worker both call these functions, so the gateway measures the same text that the
//! worker speaks. The model and the limits of a request are not known here. The rules are for
//! English only; text in other scripts passes through unchanged.

pub mod control;
mod mapped_text;
mod normalise;
mod numbers;
mod sentence_starts;
mod sentences;
#[cfg(test)]
mod tests;

pub use control::Pronunciation;
pub use normalise::normalise;
pub use sentences::{Pause, SENTENCE_BYTES, Sentence, sentences, split_sentences, whole_sentences};
