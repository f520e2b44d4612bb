//! One utterance's way into the model: recordings are encoded one by one, then all positions are fed in pieces.
//!
//! The pieces are cut from the beginning of the prompt, whatever the other slots do, so that the numbers that come out
//! do not depend on them.

use csm_shared::audio::{Clip, Frame};
use csm_shared::prompt::{SegmentSize, Window};

use super::{EngineError, Segment, Utterance};
use crate::model::{PREFILL_PIECE, Position, prompt::segment};

/// The limits that a model sets to prompts.
#[derive(Debug, Clone, Copy)]
pub(super) struct PromptLimits {
    /// Positions that prompt and frames share.
    pub(super) window: usize,
    /// Text ids end here.
    pub(super) text_vocab: usize,
}

/// What the prompt needs next.
#[derive(Debug, PartialEq)]
pub(super) enum Work<'a> {
    /// Encode this recording, and tell by [`Prompt::encoded`].
    Encode(&'a Clip),
    /// Feed these positions, and tell by [`Prompt::fed`].
    Feed(&'a [Position]),
}

/// A prompt on its way in.
pub(super) struct Prompt {
    context: Vec<Segment>,
    text_ids: Vec<u32>,
    /// Codes of the first recordings of `context`.
    recordings: Vec<Vec<Frame>>,
    /// All positions, once every recording is encoded.
    positions: Vec<Position>,
    fed: usize,
}

impl Prompt {
    pub(super) fn new(context: Vec<Segment>, text_ids: Vec<u32>) -> Self {
        let mut prompt = Self { context, text_ids, recordings: Vec::new(), positions: Vec::new(), fed: 0 };
        prompt.assemble_if_encoded();
        prompt
    }

    /// The next piece of work; `None` when the whole prompt has been fed.
    pub(super) fn work(&self) -> Option<Work<'_>> {
        if let Some(segment) = self.context.get(self.recordings.len()) {
            return Some(Work::Encode(&segment.clip));
        }
        self.positions[self.fed..].chunks(PREFILL_PIECE).next().map(Work::Feed)
    }

    /// Takes the codes of the recording that [`Prompt::work`] asked for.
    pub(super) fn encoded(&mut self, frames: Vec<Frame>) {
        self.recordings.push(frames);
        self.assemble_if_encoded();
    }

    /// Notes that the piece of [`Prompt::work`] is in.
    pub(super) fn fed(&mut self) {
        self.fed = (self.fed + PREFILL_PIECE).min(self.positions.len());
    }

    fn assemble_if_encoded(&mut self) {
        if self.recordings.len() == self.context.len() {
            let turns = self.context.iter().zip(&self.recordings);
            self.positions = turns.flat_map(|(turn, frames)| segment(&turn.text_ids, Some(frames))).collect();
            self.positions.extend(segment(&self.text_ids, None));
        }
    }
}

/// Refuses what the model cannot take, before it takes a slot.
pub(super) fn check(utterance: &Utterance, limits: PromptLimits) -> Result<(), EngineError> {
    let refuse = |reason: String| Err(EngineError::Refused(reason));
    if utterance.text_ids.is_empty() {
        return refuse("there is no text".to_owned());
    }
    if utterance.max_frames == 0 {
        return refuse("no frames are asked for".to_owned());
    }
    if utterance.context.iter().any(|segment| segment.clip.samples().is_empty()) {
        return refuse("a context segment has no audio".to_owned());
    }
    let ids = utterance.context.iter().flat_map(|segment| &segment.text_ids).chain(&utterance.text_ids);
    if let Some(id) = ids.copied().find(|&id| id as usize >= limits.text_vocab) {
        return refuse(format!("text id {id} is not below {}, the model's text vocabulary", limits.text_vocab));
    }
    let context = utterance
        .context
        .iter()
        .map(|segment| SegmentSize { text_ids: segment.text_ids.len(), audio_frames: Some(segment.clip.frames()) });
    let spoken = SegmentSize { text_ids: utterance.text_ids.len(), audio_frames: None };
    let sizes: Vec<_> = context.chain([spoken]).collect();
    Window {
        prompt_positions: Window::positions(&sizes),
        max_frames: utterance.max_frames as usize,
        limit: limits.window,
    }
    .check()
    .map_err(|error| EngineError::Refused(error.to_string()))
}
