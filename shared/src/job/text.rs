//! What is said, by whom, and for how long at most.

use std::fmt;

use super::Invalid;
use super::limits::{
    DEFAULT_MAX_AUDIO_LENGTH_MS, MAX_AUDIO_LENGTH_MS, SENTENCE_MS, SENTENCE_MS_PER_BYTE, SPEAKER, TEXT_CHARS,
    UTTERANCE_MS,
};
use crate::audio::FRAME_MS;
use crate::text::Sentence;

/// Words to speak: trimmed, not empty, within [`TEXT_CHARS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Refuses text that is blank or too long.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let trimmed = text.trim();
        let chars = trimmed.chars().count() as u64;
        if chars == 0 {
            return Err(Invalid::outside("text", format!("{text:?} (blank)"), &TEXT_CHARS));
        }
        if !TEXT_CHARS.allows(chars) {
            return Err(Invalid::outside("text", trimmed, &TEXT_CHARS));
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Milliseconds that a sentence needs at an ordinary pace, and half as long again.
fn needed_ms(sentence: &Sentence) -> u64 {
    SENTENCE_MS + SENTENCE_MS_PER_BYTE * sentence.text.len() as u64
}

/// Frames that each of a text's sentences may take: a text of one sentence as many as one utterance may, the sentences of a longer
/// one what they need at an ordinary pace and half as long again.
pub fn sentence_frames(sentences: &[Sentence]) -> impl Iterator<Item = u32> {
    let alone = sentences.len() == 1;
    let ms = move |sentence: &Sentence| if alone { UTTERANCE_MS } else { needed_ms(sentence) };
    sentences.iter().map(move |sentence| frames(ms(sentence)))
}

/// Whole frames in so many milliseconds.
const fn frames(ms: u64) -> u32 {
    (ms / FRAME_MS as u64) as u32
}

/// Speaker number within [`SPEAKER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker(u8);

impl Speaker {
    /// Refuses numbers outside [`SPEAKER`].
    pub fn new(number: i64) -> Result<Self, Invalid> {
        match u8::try_from(number) {
            Ok(small) if SPEAKER.allows(small.into()) => Ok(Self(small)),
            _ => Err(Invalid::outside("speaker", number, &SPEAKER)),
        }
    }

    /// The number.
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

/// The longest result allowed, in whole frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioBudget(u32);

impl AudioBudget {
    /// From milliseconds, rounded down to whole frames as the reference does; refuses what [`MAX_AUDIO_LENGTH_MS`] does.
    pub fn from_ms(ms: u64) -> Result<Self, Invalid> {
        match u32::try_from(ms) {
            Ok(small) if MAX_AUDIO_LENGTH_MS.allows(ms) => Ok(Self(small / FRAME_MS)),
            _ => Err(Invalid::outside("max_audio_length_ms", ms, &MAX_AUDIO_LENGTH_MS)),
        }
    }

    /// What a text gets whose request does not say: what its sentences need together, but never less than
    /// [`DEFAULT_MAX_AUDIO_LENGTH_MS`], within what one utterance may take, or for more of them [`MAX_AUDIO_LENGTH_MS`].
    #[must_use]
    pub fn of_sentences(sentences: &[Sentence]) -> Self {
        let most = if sentences.len() == 1 { UTTERANCE_MS } else { MAX_AUDIO_LENGTH_MS.max };
        let needed = sentences.iter().map(|sentence| frames(needed_ms(sentence))).fold(0, u32::saturating_add);
        Self(needed.clamp(Self::default().0, frames(most)))
    }

    /// Frames of 80 ms, at least one.
    #[must_use]
    pub const fn frames(self) -> u32 {
        self.0
    }

    /// The same in milliseconds.
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
