//! Request to an engine: a text to speak, its context, and how codes are drawn.

use csm_shared::audio::{Clip, Frame};
use csm_shared::job::Sampling;

/// Audio of a context segment.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmentAudio {
    /// A recording, to be encoded.
    Clip(Clip),
    /// Codes of frames that this model made, without the end frame.
    Codes(Vec<Frame>),
}

impl SegmentAudio {
    /// Returns the number of frames of 80 ms; the last one may be partial.
    #[must_use]
    pub fn frames(&self) -> usize {
        match self {
            Self::Clip(clip) => clip.frames(),
            Self::Codes(frames) => frames.len(),
        }
    }
}

/// Segment of the context: a text and its audio.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptSegment {
    /// Ids of `[speaker]text`, made by `csm_shared::prompt`.
    pub text_ids: Vec<u32>,
    /// Audio of this text.
    pub audio: SegmentAudio,
}

/// Input of one generation: a text to speak and its context.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// Context segments, oldest first.
    pub context: Vec<PromptSegment>,
    /// Number of leading context segments to cache (a larger number means all). Later segments are
    /// not cached, because they would evict prefixes that recur.
    pub recurring: usize,
    /// Ids of the text to speak, made by `csm_shared::prompt`.
    pub text_ids: Vec<u32>,
    /// Temperature, top-k and seed of the draws.
    pub sampling: Sampling,
    /// Budget in frames of 80 ms, at least 1; the speech is cut there. Prompt and frames share the
    /// model's window.
    pub max_frames: u32,
    /// Draw index of the first frame. The index is 0 unless earlier utterances of the job have used
    /// draws of the same seed.
    pub first_frame: u32,
    /// Leading frames that an earlier attempt at this utterance made; the stream begins with them.
    /// The engine drops all of them if the model makes another first frame.
    pub resumed_frames: Vec<Frame>,
    /// Whether the speech consists of `resumed_frames` alone, which then cover `max_frames` and
    /// were made in another context. The engine decodes them, whatever the model would make.
    pub decode_only: bool,
}
