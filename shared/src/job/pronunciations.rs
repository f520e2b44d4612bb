//! Pronunciations of words in the text of a job.

use super::limits::{PRONUNCIATION_CHARS, PRONUNCIATIONS, SAID_CHARS};
use super::{Invalid, Text};
use crate::text::Pronunciation;
use crate::text::control::{has_marks, with_pronunciations};

/// Pronunciations, within [`PRONUNCIATIONS`]. Words and what is said for them are within
/// [`PRONUNCIATION_CHARS`], and no word is there twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pronunciations(Vec<Pronunciation>);

impl Pronunciations {
    /// Refuses too many pronunciations, and words that are blank, too long or there twice.
    pub fn new(pronunciations: Vec<Pronunciation>) -> Result<Self, Invalid> {
        let count = pronunciations.len();
        if !PRONUNCIATIONS.allows(count as u64) {
            return Err(Invalid::outside("pronunciations", count, &PRONUNCIATIONS));
        }
        for (place, Pronunciation { word, say }) in pronunciations.iter().enumerate() {
            let path = |field: &str| format!("pronunciations[{place}].{field}");
            for (field, text) in [("word", word), ("say", say)] {
                if text.trim().is_empty() || !PRONUNCIATION_CHARS.allows(text.chars().count() as u64) {
                    return Err(Invalid::outside(&path(field), text, &PRONUNCIATION_CHARS));
                }
            }
            if has_marks(say) {
                return Err(Invalid::malformed(&path("say"), say, "words without pauses and tags"));
            }
            let before = &pronunciations[..place];
            if before.iter().any(|other| other.word.to_lowercase() == word.to_lowercase()) {
                return Err(Invalid::malformed(&path("word"), word, "a word that is not in the list before"));
            }
        }
        Ok(Self(pronunciations))
    }

    /// Refuses a text that the pronunciations make longer than [`SAID_CHARS`].
    pub fn check(&self, text: &Text) -> Result<(), Invalid> {
        if self.0.is_empty() {
            return Ok(());
        }
        let chars = with_pronunciations(text.as_str(), &self.0).chars().count() as u64;
        let shown = format!("a text of {chars} characters");
        if SAID_CHARS.allows(chars) { Ok(()) } else { Err(Invalid::outside("pronunciations", shown, &SAID_CHARS)) }
    }

    /// Returns the pronunciations.
    #[must_use]
    pub fn as_slice(&self) -> &[Pronunciation] {
        &self.0
    }
}
