//! A validated request for speech: code that has a [`JobSpec`] need not check it again.
//!
//! Every field is a type whose constructor can refuse with an [`Invalid`] that names field, value
//! and limit. [`JobSpec`] itself has no serde; [`wire`] holds its versioned form for Redis, which
//! decodes through the constructors.

pub mod limits;

mod audio_format;
mod audio_name;
mod context;
mod cost;
mod delivery;
mod editing;
mod id;
mod id_secret;
mod input_warning;
mod invalid;
mod lane;
mod pronunciations;
mod receipt;
mod record;
mod recording;
mod sampling;
mod speed;
mod state;
mod tenant;
mod text;
mod turns;
mod voice;
pub mod wire;

pub use audio_format::AudioFormat;
pub use audio_name::AudioName;
pub use context::{Context, Segment};
pub use delivery::Delivery;
pub use editing::{Editing, SentenceEdit};
pub use id::JobId;
pub use id_secret::IdSecret;
pub use input_warning::{INPUT_WARNINGS_MAX, InputWarning, InputWarnings};
pub use invalid::{Invalid, Reason};
pub use lane::Lane;
pub use pronunciations::Pronunciations;
pub use receipt::{FinishReason, Receipt, ReceiptWarning, SentenceReceipt, TakeFault, TurnReceipt, WarningCode};
pub use record::{Failure, FailureClass, JobRecord};
pub use recording::{Recording, StoredRecording, WrongRecording};
pub use sampling::{Sampling, Seed, Temperature, TopK};
pub use speed::Speed;
pub use state::JobState;
pub use tenant::Tenant;
pub use text::{AudioBudget, Speaker, Text, sentence_frames};
pub use turns::{Turn, Turns};
pub use voice::VoiceName;

use crate::audio::FRAME_MS;
use crate::process::traces::TraceContext;
use crate::text::{Pause, Sentence, sentences};

/// Silence around an utterance, in milliseconds.
const PAUSE_MS: u64 = 500;

/// A sentence with who speaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokenSentence {
    /// The sentence.
    pub sentence: Sentence,
    /// Speaker of the sentence.
    pub speaker: Speaker,
    /// Number of its turn, from 0.
    pub turn: usize,
}

/// The payload of a job: the text and how to speak it. Immutable once accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Text to speak.
    pub text: Text,
    /// Turns of a dialogue, whose texts are together the text; empty for a job that is none.
    pub turns: Turns,
    /// Whether written forms in the text become words before synthesis (see
    /// [`crate::text::normalise`]).
    pub normalize: bool,
    /// Words of the text that are said in another way.
    pub pronunciations: Pronunciations,
    /// Speaker of the text.
    pub speaker: Speaker,
    /// Voice of the speaker; without one, the seed decides who speaks.
    pub voice: Option<VoiceName>,
    /// Tempo of the speech.
    pub speed: Speed,
    /// Longest result, in frames of 80 ms.
    pub budget: AudioBudget,
    /// Sampling of codes from the model's logits.
    pub sampling: Sampling,
    /// Earlier utterances of the conversation, oldest first.
    pub context: Context,
    /// Urgency of the job.
    pub lane: Lane,
    /// Encoding of the result.
    pub format: AudioFormat,
    /// Way in which the result reaches its caller.
    pub delivery: Delivery,
    /// Name of the audio in the store; the job's id without one.
    pub audio_name: Option<AudioName>,
    /// Whether single sentences can be spoken again after the end.
    pub editing: Editing,
    /// Place in the trace of the request that asked for the job, if it is in one.
    pub trace: Option<TraceContext>,
}

impl JobSpec {
    /// Makes the job of a text and a seed. Every other field has the default of a request.
    #[must_use]
    pub fn new(text: Text, seed: Seed) -> Self {
        Self {
            text,
            turns: Turns::default(),
            normalize: true,
            pronunciations: Pronunciations::default(),
            speaker: Speaker::default(),
            voice: None,
            speed: Speed::default(),
            budget: AudioBudget::default(),
            sampling: Sampling { temperature: Temperature::default(), topk: TopK::default(), seed },
            context: Context::default(),
            lane: Lane::default(),
            format: AudioFormat::default(),
            delivery: Delivery::default(),
            audio_name: None,
            editing: Editing::default(),
            trace: None,
        }
    }

    /// Returns the sentences of the text, in the order of speech.
    #[must_use]
    pub fn sentences(&self) -> Vec<Sentence> {
        self.spoken().into_iter().map(|spoken| spoken.sentence).collect()
    }

    /// Returns the sentences with their speakers, in the order of speech. Each turn of a dialogue has
    /// sentences of its own.
    #[must_use]
    pub fn spoken(&self) -> Vec<SpokenSentence> {
        let divide = |text: &Text| sentences(text.as_str(), self.normalize, self.pronunciations.as_slice());
        if self.turns.is_empty() {
            let speaker = self.voice.map_or(self.speaker, VoiceName::speaker);
            let spoken = divide(&self.text).into_iter();
            return spoken.map(|sentence| SpokenSentence { sentence, speaker, turn: 0 }).collect();
        }
        let mut spoken = Vec::new();
        for (number, turn) in self.turns.as_slice().iter().enumerate() {
            let speaker = turn.speaker;
            let sentences = divide(&turn.text).into_iter();
            spoken.extend(sentences.map(|sentence| SpokenSentence { sentence, speaker, turn: number }));
            // The recording ends with its last turn.
            let last_turn = number + 1 == self.turns.as_slice().len();
            if let (Some(last), Some(ms), false) = (spoken.last_mut(), turn.pause_ms, last_turn) {
                last.sentence.pause = Pause::Silence { ms };
            }
        }
        spoken
    }

    /// Returns the voices whose prompts the job hears, in the order of the prompts.
    #[must_use]
    pub fn prompted_voices(&self) -> Vec<VoiceName> {
        if self.turns.is_empty() { self.voice.into_iter().collect() } else { self.turns.voices() }
    }

    /// Returns the same job for a model that has speakers of its own and needs no prompts of voices.
    #[must_use]
    pub fn without_voices(self) -> Self {
        Self { voice: None, turns: self.turns.without_voices(), ..self }
    }

    /// Returns the number of characters to speak: those of the text, or of the one sentence of an edit.
    fn spoken_chars(&self) -> usize {
        let sentence = self.editing.edit().and_then(|edit| {
            let mut spoken = self.spoken().into_iter();
            spoken.nth(edit.sentence as usize)
        });
        sentence.map_or_else(|| self.text.as_str().chars().count(), |spoken| spoken.sentence.text.chars().count())
    }

    /// Returns the number of frames that the speech is expected to take: the text at an ordinary
    /// pace, within the budget.
    #[must_use]
    pub fn expected_frames(&self) -> u32 {
        let ms = PAUSE_MS + self.spoken_chars() as u64 * 1_000 / limits::CHARS_PER_SECOND;
        let frames = u32::try_from(ms.div_ceil(u64::from(FRAME_MS))).unwrap_or(u32::MAX);
        frames.clamp(1, self.budget.frames())
    }
}

#[cfg(test)]
mod tests;
