//! The speech plan of a job: the token ids of its sentences, and the share of the window that each
//! may take.
//!
//! The gateway accepts or refuses a job by its plan, and the worker generates by the same plan. So
//! every accepted job fits the window. The plan leaves out earlier sentences that a worker repeats
//! as context: such sentences take only the room that is left.

use super::{PromptError, PromptTokenizer, SegmentSize, Window};
use crate::job::{JobSpec, SpokenSentence, VoiceName, sentence_frames};
use crate::text::Sentence;

/// A planned utterance of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSentence {
    /// The sentence.
    pub sentence: Sentence,
    /// Token ids of the text, speaker and control tokens included.
    pub text_ids: Vec<u32>,
    /// Number of the speaker.
    pub speaker: u32,
    /// Most frames of the sentence if the whole budget of the job is left.
    pub max_frames: u32,
    /// Draw index of the sentence's first frame, behind all draws that earlier sentences can use.
    pub first_frame: u32,
}

/// All sentences of a job with their context, ready to be measured and generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechPlan {
    /// Token ids of the texts of the context: first the prompts of the voices, then the job's own segments, oldest first.
    pub context_ids: Vec<Vec<u32>>,
    /// Positions that the context takes, recordings included.
    pub context_positions: usize,
    /// Sentences in the order of speech; at least one.
    pub sentences: Vec<PlannedSentence>,
}

impl SpeechPlan {
    /// Makes the plan of a job.
    ///
    /// # Errors
    /// [`PromptError::Encode`] if the tokenizer refuses a text.
    pub fn new(tokenizer: &PromptTokenizer, spec: &JobSpec) -> Result<Self, PromptError> {
        let voices = spec.prompted_voices();
        let voices = voices.iter().map(|voice| {
            let frames = VoiceName::PROMPT_FRAMES_MAX as usize;
            (voice.speaker().get(), voice.prompt_text(), frames)
        });
        let segments = spec.context.segments().iter();
        let segments =
            segments.map(|segment| (segment.speaker.get(), segment.text.as_str(), segment.recording.frames()));
        let (mut context_ids, mut sizes) = (Vec::new(), Vec::new());
        for (speaker, text, frames) in voices.chain(segments) {
            let ids = tokenizer.text_ids(speaker, text)?;
            sizes.push(SegmentSize::context(ids.len(), frames));
            context_ids.push(ids);
        }
        let spoken = spec.spoken();
        let sentences: Vec<_> = spoken.iter().map(|spoken| spoken.sentence.clone()).collect();
        let budgets: Vec<_> = sentence_frames(&sentences).collect();
        let mut first_frame = 0;
        let planned = spoken.into_iter().zip(budgets).map(|(SpokenSentence { sentence, speaker, .. }, budget)| {
            let first = first_frame;
            first_frame += budget;
            Ok(PlannedSentence {
                text_ids: tokenizer.text_ids(speaker.get(), &sentence.text)?,
                speaker: speaker.get(),
                max_frames: budget.min(spec.budget.frames()),
                first_frame: first,
                sentence,
            })
        });
        let sentences = planned.collect::<Result<_, PromptError>>()?;
        Ok(Self { context_ids, context_positions: Window::positions(&sizes), sentences })
    }

    /// Returns the window of the sentence that needs the most positions, in a model of `limit`
    /// positions. If that sentence fits, all fit.
    #[must_use]
    pub fn window(&self, limit: usize) -> Window {
        let need = |sentence: &&PlannedSentence| sentence.text_ids.len() + sentence.max_frames as usize;
        let (ids, frames) = self
            .sentences
            .iter()
            .max_by_key(need)
            .map_or((0, 0), |sentence| (sentence.text_ids.len(), sentence.max_frames as usize));
        Window { prompt_positions: self.context_positions + ids, max_frames: frames, limit }
    }
}
