//! The sentence of a job that is being generated: its take so far, and what all of its takes have in
//! common.

use csm_queue::live::ResumedSentence;
use csm_shared::audio::Frame;
use csm_shared::job::SentenceReceipt;

use super::join::Joiner;

/// Sentence that is being generated.
pub(super) struct Current<F> {
    pub(super) request: SentenceRequest,
    /// Frames of the take.
    pub(super) frames: F,
    /// Joiner as it was before the take.
    pub(super) joiner: Joiner,
    /// Codes of the take so far.
    pub(super) codes: Vec<Frame>,
    /// Samples of the take so far, for its check.
    pub(super) pcm: Vec<f32>,
    /// Samples that leave at the end of the sentence.
    pub(super) held_back: Vec<f32>,
    /// Whether samples have left since the take began.
    pub(super) heard: bool,
    /// Frames that an earlier attempt has published of a sentence that stays as it was before an edit;
    /// `None` for a new take.
    pub(super) kept: Option<usize>,
    pub(super) sentence: SentenceReceipt,
}

/// Everything that the takes of a sentence have in common.
pub(super) struct SentenceRequest {
    pub(super) text_ids: Vec<u32>,
    pub(super) speaker: u32,
    /// Draw index of the first frame of the first take.
    pub(super) first_frame: u32,
    /// Frames of the sentence that an earlier attempt generated, in one of the takes.
    pub(super) resumed: ResumedSentence,
}

impl<F> Current<F> {
    /// Begins a take; `joiner` is the joiner before it.
    pub(super) const fn new(request: SentenceRequest, frames: F, joiner: Joiner, sentence: SentenceReceipt) -> Self {
        Self {
            request,
            frames,
            joiner,
            codes: Vec::new(),
            pcm: Vec::new(),
            held_back: Vec::new(),
            heard: false,
            kept: None,
            sentence,
        }
    }

    /// Returns whether the last frame is in the job's stream; `replayed` says so of a new take.
    pub(super) fn is_published(&self, replayed: bool) -> bool {
        self.kept.map_or(replayed, |published| self.codes.len() <= published)
    }

    /// Returns the number of the take, from 0.
    pub(super) const fn take(&self) -> u8 {
        self.sentence.retakes.len() as u8
    }
}
