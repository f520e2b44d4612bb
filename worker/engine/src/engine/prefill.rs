//! The path of a prompt into the model: its recordings become codes, then all positions are fed in
//! blocks.
//!
//! Blocks never cross a segment's end, and their boundaries do not depend on the other slots. The
//! model's numbers therefore depend neither on other slots nor on the content of the prefix cache.

use csm_shared::audio::{Clip, Frame};
use csm_shared::prompt::{SegmentSize, Window};

use super::error::EngineError;
use super::prefix_cache::PromptContext;
use super::utterance::{PromptSegment, SegmentAudio, Utterance};
use crate::model::{Position, position::segment};

/// Limits of a model for prompts.
#[derive(Debug, Clone, Copy)]
pub(super) struct PromptLimits {
    /// Positions that prompt and frames share.
    pub(super) window: usize,
    /// Number of text ids; every id is below it.
    pub(super) text_vocab: usize,
    /// Number of codes of a codebook; every code is below it.
    pub(super) codes: usize,
    /// Largest number of positions in a block.
    pub(super) block: usize,
}

/// A prompt and how much of it has been fed.
pub(super) struct Prompt {
    context: Vec<PromptSegment>,
    /// Number of leading segments that other prompts may share.
    recurring: usize,
    text_ids: Vec<u32>,
    /// All positions; empty until every recording is encoded.
    positions: Vec<Position>,
    /// End position of each context segment.
    cuts: Vec<usize>,
    fed: usize,
}

impl Prompt {
    pub(super) fn new(context: Vec<PromptSegment>, recurring: usize, text_ids: Vec<u32>) -> Self {
        let recurring = recurring.min(context.len());
        let mut prompt = Self { context, recurring, text_ids, positions: Vec::new(), cuts: Vec::new(), fed: 0 };
        if prompt.clips().is_empty() {
            prompt.encoded(Vec::new());
        }
        prompt
    }

    /// Returns the recordings to encode, oldest first.
    pub(super) fn clips(&self) -> Vec<Clip> {
        let clips = self.context.iter().filter_map(|segment| match &segment.audio {
            SegmentAudio::Clip(clip) => Some(clip.clone()),
            SegmentAudio::Codes(_) => None,
        });
        clips.collect()
    }

    /// Returns whether the positions wait for the codes of [`Prompt::clips`].
    pub(super) fn waits_for_codes(&self) -> bool {
        self.positions.is_empty()
    }

    /// Takes the codes of [`Prompt::clips`].
    pub(super) fn encoded(&mut self, recordings: Vec<Vec<Frame>>) {
        let mut recordings = recordings.into_iter();
        for context_segment in self.context.drain(..) {
            let frames = match context_segment.audio {
                SegmentAudio::Codes(frames) => frames,
                SegmentAudio::Clip(_) => recordings.next().unwrap_or_default(),
            };
            self.positions.extend(segment(&context_segment.text_ids, Some(&frames)));
            self.cuts.push(self.positions.len());
        }
        self.positions.extend(segment(&self.text_ids, None));
    }

    /// Returns the next block, at most `most` positions; empty once the whole prompt has been fed.
    pub(super) fn block(&self, most: usize) -> &[Position] {
        let end = self.cuts.iter().copied().find(|&cut| cut > self.fed).unwrap_or(self.positions.len());
        &self.positions[self.fed..end.min(self.fed + most)]
    }

    /// Records that the next `count` positions are in the model.
    pub(super) fn fed(&mut self, count: usize) {
        self.fed += count;
    }

    /// Returns whether nothing has been fed yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.fed == 0
    }

    /// Returns whether everything has been fed.
    pub(super) fn is_complete(&self) -> bool {
        !self.waits_for_codes() && self.fed == self.positions.len()
    }

    /// Goes back to the beginning, so that all positions are fed again.
    pub(super) fn rewind(&mut self) {
        self.fed = 0;
    }

    /// Returns everything before the text; `None` if there is no context.
    pub(super) fn context(&self) -> Option<PromptContext<'_>> {
        let &end = self.cuts.last()?;
        Some(PromptContext { positions: &self.positions[..end], cuts: &self.cuts })
    }

    /// Returns the context to cache if the positions fed so far end exactly at its end. Two
    /// prefixes are worth caching: all recurring segments, and the first one alone, which holds the
    /// voice if there is one.
    pub(super) fn worth_keeping(&self) -> Option<PromptContext<'_>> {
        let segments = match self.cuts[..self.recurring] {
            [first, ..] if first == self.fed => 1,
            [.., last] if last == self.fed => self.recurring,
            _ => return None,
        };
        Some(PromptContext { positions: &self.positions[..self.fed], cuts: &self.cuts[..segments] })
    }
}

/// Checks that the model can take `utterance`, before it takes a slot.
pub(super) fn check(utterance: &Utterance, limits: PromptLimits) -> Result<(), EngineError> {
    let refuse = |reason: String| Err(EngineError::Refused(reason));
    if utterance.text_ids.is_empty() {
        return refuse("there is no text".to_owned());
    }
    if utterance.max_frames == 0 {
        return refuse("no frames are asked for".to_owned());
    }
    if utterance.context.iter().any(|segment| segment.audio.frames() == 0) {
        return refuse("a context segment has no audio".to_owned());
    }
    let ids = utterance.context.iter().flat_map(|segment| &segment.text_ids).chain(&utterance.text_ids);
    if let Some(id) = ids.copied().find(|&id| id as usize >= limits.text_vocab) {
        return refuse(format!("text id {id} is not below {}, the model's text vocabulary", limits.text_vocab));
    }
    let codes = utterance.context.iter().filter_map(|segment| match &segment.audio {
        SegmentAudio::Codes(frames) => Some(frames.as_flattened()),
        SegmentAudio::Clip(_) => None,
    });
    if let Some(code) = codes.flatten().copied().find(|&code| code as usize >= limits.codes) {
        return refuse(format!("code {code} of a context segment is not below {}", limits.codes));
    }
    let context = utterance
        .context
        .iter()
        .map(|segment| SegmentSize { text_ids: segment.text_ids.len(), audio_frames: Some(segment.audio.frames()) });
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
