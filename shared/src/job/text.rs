//! The text of a job, its speaker, and its budget of audio.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use super::Invalid;
use super::limits::{
    DEFAULT_MAX_AUDIO_LENGTH_MS, MAX_AUDIO_LENGTH_MS, SENTENCE_MS, SENTENCE_MS_PER_BYTE, SPEAKER, TEXT_CHARS,
    UTTERANCE_MS,
};
use crate::audio::FRAME_MS;
use crate::text::{Pause, Sentence, control};

/// Text of characters that nobody sees: blanks, controls such as NUL, and characters that only
/// format others, such as U+200B (zero width space) and U+FEFF.
static BLANK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[\s\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}]*$")
        .expect("the pattern is a constant, and tested")
});

/// Text to speak: trimmed, not blank, within [`TEXT_CHARS`], with marks that can be meant (see
/// [`control`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Refuses text that is blank or too long, and marks that cannot be meant.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let trimmed = text.trim();
        let chars = trimmed.chars().count() as u64;
        if chars > TEXT_CHARS.max {
            return Err(Invalid::outside("text", trimmed, &TEXT_CHARS));
        }
        if BLANK.is_match(trimmed) {
            return Err(Invalid::outside("text", format!("{text:?} (blank)"), &TEXT_CHARS));
        }
        control::check(trimmed).map_err(|fault| Invalid::malformed("text", fault.mark, fault.expected))?;
        Ok(Self(trimmed.to_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the audio allowed for a sentence, in milliseconds: its length at an ordinary pace, times
/// 1.5, plus a fixed part.
fn needed_ms(sentence: &Sentence) -> u64 {
    SENTENCE_MS + SENTENCE_MS_PER_BYTE * sentence.text.len() as u64
}

/// Returns the frames that each sentence of a text may take. A single sentence may take as many as
/// one utterance. With several sentences, each gets its length at an ordinary pace, times 1.5, plus
/// a fixed part.
pub fn sentence_frames(sentences: &[Sentence]) -> impl Iterator<Item = u32> {
    let alone = sentences.len() == 1;
    let ms = move |sentence: &Sentence| if alone { UTTERANCE_MS } else { needed_ms(sentence) };
    sentences.iter().map(move |sentence| frames(ms(sentence)))
}

/// Returns the number of whole frames in `ms` milliseconds.
const fn frames(ms: u64) -> u32 {
    (ms / FRAME_MS as u64) as u32
}

/// Speaker number within [`SPEAKER`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speaker(u8);

impl Speaker {
    /// Refuses numbers outside [`SPEAKER`].
    pub fn new(number: i64) -> Result<Self, Invalid> {
        match u8::try_from(number) {
            Ok(small) if SPEAKER.allows(small.into()) => Ok(Self(small)),
            _ => Err(Invalid::outside("speaker", number, &SPEAKER)),
        }
    }

    /// Speaker of the lower voices.
    pub(super) const LOW: Self = Self(0);
    /// Speaker of the higher voices.
    pub(super) const HIGH: Self = Self(1);

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest result allowed, in whole frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioBudget(u32);

impl AudioBudget {
    /// Converts milliseconds, rounded down to whole frames as in the reference implementation.
    /// Refuses values outside [`MAX_AUDIO_LENGTH_MS`].
    pub fn from_ms(ms: u64) -> Result<Self, Invalid> {
        match u32::try_from(ms) {
            Ok(small) if MAX_AUDIO_LENGTH_MS.allows(ms) => Ok(Self(small / FRAME_MS)),
            _ => Err(Invalid::outside("max_audio_length_ms", ms, &MAX_AUDIO_LENGTH_MS)),
        }
    }

    /// Returns the default budget: the sum of the sentences' estimates. At least
    /// [`DEFAULT_MAX_AUDIO_LENGTH_MS`]; at most [`UTTERANCE_MS`] for one sentence or
    /// [`MAX_AUDIO_LENGTH_MS`] for several.
    #[must_use]
    pub fn of_sentences(sentences: &[Sentence]) -> Self {
        let most = if sentences.len() == 1 { UTTERANCE_MS } else { MAX_AUDIO_LENGTH_MS.max };
        let needed = sentences.iter().map(|sentence| frames(needed_ms(sentence))).fold(0, u32::saturating_add);
        let pauses = sentences.iter().map(|sentence| match sentence.pause {
            Pause::Silence { ms } => u64::from(ms),
            _ => 0,
        });
        let leads: u64 = sentences.iter().map(|sentence| u64::from(sentence.lead_ms)).sum();
        let needed = needed.saturating_add(frames(pauses.sum::<u64>() + leads));
        Self(needed.clamp(Self::default().0, frames(most)))
    }

    /// Returns the frames of 80 ms, at least one.
    #[must_use]
    pub const fn frames(self) -> u32 {
        self.0
    }

    /// Returns the budget in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 as u64 * FRAME_MS as u64
    }
}

impl Default for AudioBudget {
    fn default() -> Self {
        Self(frames(DEFAULT_MAX_AUDIO_LENGTH_MS))
    }
}
