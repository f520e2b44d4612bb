//! A job as the model will hear it: its sentences in ids, and the share of the window that each may take.
//!
//! The gateway refuses by it and the worker speaks by it, so that what is accepted can be spoken. Earlier sentences that a
//! worker repeats as context are no part of it: they take what room is left, and none is a right.

use super::{PromptError, PromptTokenizer, SegmentSize, Window};
use crate::job::{JobSpec, sentence_frames};
use crate::text::Pause;

/// One utterance of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSentence {
    /// The words.
    pub text: String,
    /// Their ids, speaker and control tokens included.
    pub text_ids: Vec<u32>,
    /// Frames that it may take at most, with the whole budget of the job still there.
    pub max_frames: u32,
    /// Draw index of its first frame: behind all draws that the sentences before it can use.
    pub first_frame: u32,
    /// What follows it.
    pub pause: Pause,
}

/// All that a job says, ready to be measured and spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechPlan {
    /// Ids of the texts of the job's context segments, oldest first.
    pub context_ids: Vec<Vec<u32>>,
    /// Positions that the context takes, its recordings included.
    pub context_positions: usize,
    /// What is spoken, in order; at least one sentence.
    pub sentences: Vec<PlannedSentence>,
}

impl SpeechPlan {
    /// The plan of a job.
    ///
    /// # Errors
    /// [`PromptError::Encode`]: the tokenizer refused a text.
    pub fn new(tokenizer: &PromptTokenizer, spec: &JobSpec) -> Result<Self, PromptError> {
        let segments = spec.context.segments();
        let ids = segments.iter().map(|segment| tokenizer.text_ids(segment.speaker.get(), segment.text.as_str()));
        let context_ids = ids.collect::<Result<Vec<_>, _>>()?;
        let sizes = context_ids.iter().zip(segments);
        let sizes: Vec<_> =
            sizes.map(|(ids, segment)| SegmentSize::context(ids.len(), segment.clip.frames())).collect();
        let sentences = spec.sentences();
        let budgets: Vec<_> = sentence_frames(&sentences).collect();
        let mut first_frame = 0;
        let planned = sentences.into_iter().zip(budgets).map(|(sentence, budget)| {
            let first = first_frame;
            first_frame += budget;
            Ok(PlannedSentence {
                text_ids: tokenizer.text_ids(spec.speaker.get(), &sentence.text)?,
                text: sentence.text,
                max_frames: budget.min(spec.budget.frames()),
                first_frame: first,
                pause: sentence.pause,
            })
        });
        let sentences = planned.collect::<Result<_, PromptError>>()?;
        Ok(Self { context_ids, context_positions: Window::positions(&sizes), sentences })
    }

    /// The window of the sentence that needs most of it, in a model of `limit` positions. If that one fits, all do.
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
