//! State of one utterance in its slot: first the prompt on its way in, then the frames on their way
//! out.

use std::time::{Duration, Instant};

use csm_shared::audio::Frame;
use csm_shared::job::Sampling;
use tokio::sync::mpsc;

use super::decoder_thread::GeneratedCodes;
use super::engine_command::AudioFrame;
use super::guard::Budget;
use super::prefill::Prompt;
use super::schedule::Need;
use super::slots::SlotId;
use super::utterance::Utterance;
use crate::model::{END_FRAME, Row};

/// Distance between the draw indices of a second try and of the first, larger than any job's frame
/// count.
const SECOND_TRY: u32 = 1 << 30;

/// State of one utterance in its slot.
pub(super) struct ActiveUtterance {
    pub(super) prompt: Prompt,
    /// Whether the encoder was asked for the codes of the recordings.
    pub(super) codes_requested: bool,
    sampling: Sampling,
    pub(super) budget: Budget,
    /// Draw index of the first frame.
    first_draw: u32,
    retried: bool,
    /// Frames of an earlier attempt. The model makes the first frame again before the engine takes
    /// over the others.
    resumed_frames: Vec<Frame>,
    /// Whether the speech consists of `resumed_frames` alone.
    decode_only: bool,
    /// Number of `resumed_frames` that the model has made again or read.
    replayed_count: usize,
    /// Number of frames made or taken over, without the end frame.
    pub(super) frames_made: u32,
    pub(super) frames: mpsc::Sender<AudioFrame>,
    /// Time of the last frame; `None` if there was none, or if the reader has been behind since.
    last_frame: Option<Instant>,
    pub(super) span: tracing::Span,
    /// Span of the prompt, then of the frames.
    stage: tracing::Span,
}

impl ActiveUtterance {
    /// Returns the state of an utterance that has just taken its slot. Valid codes are below
    /// `codes`.
    pub(super) fn new(
        utterance: Utterance,
        codes: usize,
        frames: mpsc::Sender<AudioFrame>,
        span: tracing::Span,
    ) -> Self {
        let Utterance {
            context,
            recurring,
            text_ids,
            sampling,
            max_frames,
            first_frame,
            mut resumed_frames,
            decode_only,
        } = utterance;
        let budget = Budget::new(text_ids.len(), max_frames);
        // A frame outside the model's codes is not from this model, and neither are the frames
        // after it.
        let is_known = |frame: &Frame| *frame != END_FRAME && frame.iter().all(|&code| (code as usize) < codes);
        resumed_frames
            .truncate(resumed_frames.iter().take_while(|frame| is_known(frame)).take(budget.frames as usize).count());
        Self {
            budget,
            prompt: Prompt::new(context, recurring, text_ids),
            codes_requested: false,
            sampling,
            first_draw: first_frame,
            retried: false,
            resumed_frames,
            decode_only,
            replayed_count: 0,
            frames_made: 0,
            frames,
            last_frame: None,
            stage: tracing::info_span!(parent: &span, "prefill"),
            span,
        }
    }

    /// Returns the work that the utterance could do next.
    pub(super) fn need(&mut self) -> Need {
        if self.prompt.waits_for_codes() {
            Need::Nothing
        } else if !self.prompt.is_complete() || self.needs_replay() {
            Need::Prompt
        } else if self.is_handing_over() {
            // The rest of the resumed frames waits for room in the stream, not for the model.
            Need::Nothing
        } else if self.frames.capacity() > 0 {
            Need::Frame
        } else {
            self.last_frame = None;
            Need::Nothing
        }
    }

    /// Returns whether the recordings need encoding and the encoder has not been asked yet.
    pub(super) fn needs_codes(&self) -> bool {
        self.prompt.waits_for_codes() && !self.codes_requested
    }

    /// Returns the model's input row for the next frame.
    pub(super) fn row(&self, slot: usize) -> Row {
        Row { slot, sampling: self.sampling, frame_index: self.first_draw.wrapping_add(self.frames_made) }
    }

    /// Records that a frame was made. Returns the time since the frame before it, if the reader was
    /// not behind.
    pub(super) fn gap(&mut self, now: Instant) -> Option<Duration> {
        Some(now - self.last_frame.replace(now)?)
    }

    /// Returns the frame that stands in the place of the one that the model made: its own, or the
    /// first of the frames that are only decoded.
    pub(super) fn in_place_of(&self, made: Frame) -> Frame {
        if self.decode_only { self.resumed_frames.first().copied().unwrap_or(made) } else { made }
    }

    /// Compares the first frame with the first resumed frame. Equal frames show that the model
    /// would repeat all the resumed frames; otherwise they are dropped.
    pub(super) fn check_resumed_frames(&mut self, first: &Frame) {
        if self.frames_made > 0 || self.resumed_frames.is_empty() {
            return;
        }
        if self.resumed_frames[0] == *first {
            // If the resumed frames use up the budget, no frame follows, so the model need not read
            // them.
            self.replayed_count =
                if self.resumed_frames.len() < self.budget.frames as usize { 1 } else { self.resumed_frames.len() };
        } else {
            tracing::warn!(parent: &self.span, "cannot resume: first frame differs, restarting utterance");
            self.resumed_frames.clear();
        }
    }

    /// Returns whether the model has to read more resumed frames.
    pub(super) fn needs_replay(&self) -> bool {
        self.frames_made > 0 && self.replayed_count < self.resumed_frames.len()
    }

    /// Returns whether the next frame of the stream is a resumed one.
    pub(super) fn is_handing_over(&self) -> bool {
        self.frames_made > 0 && (self.frames_made as usize) < self.resumed_frames.len()
    }

    /// Returns the next resumed frames for the model to read, at most `most`.
    pub(super) fn next_replay(&self, most: usize) -> &[Frame] {
        let rest = &self.resumed_frames[self.replayed_count..];
        &rest[..rest.len().min(most)]
    }

    /// Records that the model has read `count` more resumed frames.
    pub(super) fn advance_replay(&mut self, count: usize) {
        self.replayed_count += count;
        self.last_frame = None;
    }

    /// Returns the next frame for the decoder: `made`, or the next resumed frame if `made` is
    /// `None`. Returns `None` if there is no frame or the stream has no room.
    pub(super) fn hand_over(&mut self, id: SlotId, made: Option<Frame>) -> Option<GeneratedCodes> {
        let before = self.resumed_frames.get(self.frames_made as usize);
        let (codes, replayed) = (made.or(before.copied())?, before.is_some());
        let permit = self.frames.clone().try_reserve_owned().ok()?;
        if self.frames_made == 0 {
            self.stage = tracing::info_span!(parent: &self.span, "frames");
        }
        self.frames_made += 1;
        Some(GeneratedCodes { id, codes, replayed, permit })
    }

    /// Returns whether the budget is used up.
    pub(super) fn is_used_up(&self) -> bool {
        self.frames_made >= self.budget.frames
    }

    /// Starts a second try with other draws if nothing was generated yet, and returns whether it
    /// did. There is one such try at most, and none at temperature 0, because nothing is drawn
    /// then.
    pub(super) fn retries_empty(&mut self) -> bool {
        let tries = self.frames_made == 0 && !self.retried && !self.sampling.temperature.is_greedy();
        if tries {
            self.retried = true;
            self.first_draw = self.first_draw.wrapping_add(SECOND_TRY);
            self.last_frame = None;
            self.prompt.rewind();
        }
        tries
    }
}
