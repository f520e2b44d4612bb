//! The runaway guard: detects from frames and their audio that CSM has failed to stop.
//!
//! The model ends by a frame of zeros, and sometimes misses it. Then it repeats itself, or makes
//! silence until its budget is used up. The delivered frames and the stop depend on the frames
//! alone, not on their timing.

use csm_shared::audio::Frame;
use csm_shared::job::FinishReason;

/// Consecutive equal frames after which the model counts as stuck: 800 ms. Two frames drawn in
/// succession agree in all 32 codes only if the model is sure of each code. Equal frames occur in
/// steady silence, which a pause may hold for a while.
pub(super) const REPEATED_FRAMES: u32 = 10;
/// Consecutive silent frames after which no more speech is expected: 2.4 s, beyond any pause within
/// a text.
pub(super) const SILENT_FRAMES: u32 = 30;
/// Consecutive silent frames that are delivered at once: 400 ms. Later silent frames are held back
/// until there is sound again.
pub(super) const SILENT_KEPT: u32 = 5;
/// Most frames held in succession: as many as leave room in the stream for a block. The longest
/// pause within a text holds 28 frames even if its codes repeat from the start. More frames mean
/// that for over 2 s there was only silence or repetition, in turns. Such a model has run away, as
/// if either had lasted alone. Delivering such frames instead would let it go on until its budget
/// is used up.
pub(super) const HELD_FRAMES: u32 = 28;
/// Loudness (root mean square) below which a frame is silent: -60 dBFS, below breath and room
/// noise.
pub(super) const SILENCE_RMS: f32 = 0.001;
/// Frames that any text may take: 10 s, which is also the smallest default budget of a request.
pub(super) const FRAMES_OF_ANY_TEXT: u32 = 125;
/// Further frames for each id of the text. Speech takes about four frames per id, and slow speech
/// eight. A number of three digits is one id and takes up to twenty frames. The allowances of its
/// neighbours and of any text cover the rest.
pub(super) const FRAMES_PER_ID: u32 = 12;

/// Limit on an utterance's frames, and the finish reason at that limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Frames of 80 ms.
    pub(super) frames: u32,
    /// Finish reason of an utterance that reaches the limit.
    pub(super) reason: FinishReason,
}

impl Budget {
    /// Returns the smaller of the requested budget and the need of a text of `text_ids` ids.
    pub(super) fn new(text_ids: usize, max_frames: u32) -> Self {
        let ids = u32::try_from(text_ids).unwrap_or(u32::MAX);
        let needed = ids.saturating_mul(FRAMES_PER_ID).saturating_add(FRAMES_OF_ANY_TEXT);
        if needed < max_frames {
            Self { frames: needed, reason: FinishReason::Runaway }
        } else {
            Self { frames: max_frames, reason: FinishReason::Length }
        }
    }
}

/// Decision on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardDecision {
    /// Deliver the frame, after the frames held back before it.
    Deliver,
    /// Hold the frame until the next decision. The end of the utterance delivers it too.
    Hold,
    /// The model has run away: drop the frame and the held frames, and end the utterance.
    Stop,
}

/// State of the guard for one utterance, from its last frames.
#[derive(Debug, Default)]
pub(super) struct Guard {
    last: Option<Frame>,
    /// Consecutive frames equal to the one before them, up to the last frame.
    repeats: u32,
    /// Consecutive silent frames, up to the last frame.
    silent: u32,
    /// Frames held back now, for either reason.
    held: u32,
}

impl Guard {
    /// Takes an utterance's next frame: its codes and its samples.
    pub(super) fn observe(&mut self, codes: &Frame, pcm: &[f32]) -> GuardDecision {
        self.repeats = if self.last.as_ref() == Some(codes) { self.repeats + 1 } else { 0 };
        self.silent = if is_silent(pcm) { self.silent + 1 } else { 0 };
        self.last = Some(*codes);
        if self.repeats == 0 && self.silent <= SILENT_KEPT {
            self.held = 0;
            return GuardDecision::Deliver;
        }
        let stuck = self.repeats + 1 >= REPEATED_FRAMES || self.silent >= SILENT_FRAMES;
        if stuck || self.held >= HELD_FRAMES {
            return GuardDecision::Stop;
        }
        self.held += 1;
        GuardDecision::Hold
    }
}

fn is_silent(pcm: &[f32]) -> bool {
    let power: f32 = pcm.iter().map(|sample| sample * sample).sum();
    power < SILENCE_RMS * SILENCE_RMS * pcm.len() as f32
}
