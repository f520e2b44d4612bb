//! The turns of a dialogue: parts of one recording, each with a speaker of its own.

use super::limits::{PAUSE_MS, TEXT_CHARS, TURNS};
use super::{Invalid, Speaker, Text, VoiceName};

/// A part of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Text of the turn.
    pub text: Text,
    /// Speaker of the turn; that of the voice, if it has one.
    pub speaker: Speaker,
    /// Voice of the turn.
    pub voice: Option<VoiceName>,
    /// Silence after the turn, in milliseconds; that after a paragraph without one.
    pub pause_ms: Option<u32>,
}

/// Turns of a dialogue, within [`TURNS`]; empty for a job that is none. Together their texts are within
/// [`TEXT_CHARS`], and no two voices share a speaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns(Vec<Turn>);

impl Turns {
    /// Refuses too many turns, too long a text or pause, and two voices of one speaker.
    pub fn new(turns: Vec<Turn>) -> Result<Self, Invalid> {
        if !TURNS.allows(turns.len() as u64) {
            return Err(Invalid::outside("turns", turns.len(), &TURNS));
        }
        let chars: u64 = turns.iter().map(|turn| turn.text.as_str().chars().count() as u64 + 1).sum();
        if chars > TEXT_CHARS.max {
            return Err(Invalid::outside("turns", format!("{chars} characters in all"), &TEXT_CHARS));
        }
        for (place, turn) in turns.iter().enumerate() {
            if let Some(ms) = turn.pause_ms.filter(|&ms| !PAUSE_MS.allows(ms.into())) {
                return Err(Invalid::outside(&format!("turns[{place}].pause_ms"), ms, &PAUSE_MS));
            }
            // The model tells speakers apart by their numbers alone.
            let other = |other: &&Turn| other.speaker == turn.speaker && other.voice != turn.voice;
            if let Some(other) = turns[..place].iter().find(other) {
                let name = |voice: Option<VoiceName>| voice.map_or("no voice", VoiceName::name);
                let limit = format!("{} like the turns of speaker {} before it", name(other.voice), turn.speaker);
                return Err(Invalid::malformed(&format!("turns[{place}].voice"), name(turn.voice), limit));
            }
        }
        Ok(Self(turns))
    }

    /// Returns the turns.
    #[must_use]
    pub fn as_slice(&self) -> &[Turn] {
        &self.0
    }

    /// Returns whether the job is no dialogue.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the texts of all turns, one on a line.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Returns the voices, each once, in the order in which they speak first.
    #[must_use]
    pub fn voices(&self) -> Vec<VoiceName> {
        let mut voices = Vec::new();
        for voice in self.0.iter().filter_map(|turn| turn.voice) {
            if !voices.contains(&voice) {
                voices.push(voice);
            }
        }
        voices
    }

    /// Returns the same turns without voices; their speakers stay.
    #[must_use]
    pub fn without_voices(self) -> Self {
        Self(self.0.into_iter().map(|turn| Turn { voice: None, ..turn }).collect())
    }
}
