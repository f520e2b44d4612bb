//! The runaway guard: how CSM fails to stop, told from its frames and their sound.
//!
//! The model knows its end by one frame of zeros, and sometimes misses it: then it repeats itself, or goes on in silence
//! until its budget is used up. What is delivered and where it stops depends on the frames alone, not on when they come.

use csm_shared::audio::Frame;
use csm_shared::job::FinishReason;

use super::decoder_thread::BLOCK_FRAMES;
use super::frame_stream::FRAMES_AHEAD;

/// Equal frames in succession after which the model counts as stuck: 800 ms. Two frames drawn one after another agree in
/// all 32 codes only where the model is sure of each; that happens in steady silence, which a pause may hold for a while.
pub(super) const REPEATED_FRAMES: u32 = 10;
/// Silent frames in succession after which nothing more is expected: 2.4 s, beyond any pause within a text.
pub(super) const SILENT_FRAMES: u32 = 30;
/// Silence that is handed on as it comes: 400 ms. What follows is held back until there is sound again.
pub(super) const SILENT_KEPT: u32 = 5;
/// Frames that are held in succession, at most: as many as leave room in the stream for a block. A longest pause within a
/// text is 28 of them even if its codes repeat themselves from the start. One more means that for over 2 s there was
/// nothing but silence and what had been heard already, by turns: that is a model that has run away, as either alone would
/// be. Handing such frames on instead would let it go on like that until its budget is used up.
pub(super) const HELD_FRAMES: u32 = 28;
/// The loudness (root mean square) below which a frame is silent: -60 dBFS, under breath and the noise of a room.
pub(super) const SILENCE_RMS: f32 = 0.001;
/// Frames that any text may take: 10 s, which is also the least that a request gets that does not say.
pub(super) const FRAMES_OF_ANY_TEXT: u32 = 125;
/// Frames that each id of the text may take beyond that. Speech takes about four; slow speech twice that; a number of
/// three digits, which is one id, up to twenty, for which the frames of its neighbours and of any text are there.
pub(super) const FRAMES_PER_ID: u32 = 12;

// A frame takes room in its stream while it is held back, or waits for its block. Were all room taken that way, no frame
// could come that ends the wait.
const _: () = assert!(HELD_FRAMES as usize + BLOCK_FRAMES <= FRAMES_AHEAD);

/// The frames that an utterance may take, and what their end is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Frames of 80 ms.
    pub(super) frames: u32,
    /// Why the speech ended, if it ends there.
    pub(super) reason: FinishReason,
}

impl Budget {
    /// The smaller of what was asked for and what a text of `text_ids` ids can need.
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

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardDecision {
    /// Hand it on, and those held back before it.
    Deliver,
    /// Keep it until the next verdict, or the end of the utterance, which delivers it.
    Hold,
    /// The model has run away: drop it and those held back, and end the utterance.
    Stop,
}

/// What one utterance's last frames were like.
#[derive(Debug, Default)]
pub(super) struct Guard {
    last: Option<Frame>,
    /// Frames in succession that equal the one before them, the last one included.
    repeats: u32,
    /// Silent frames in succession, the last one included.
    silent: u32,
    /// Frames held back now, for whatever reason.
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
