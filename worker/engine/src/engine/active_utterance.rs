//! One utterance in its slot: its prompt on the way in, then its frames on the way out.

use std::time::{Duration, Instant};

use csm_shared::audio::Frame;
use csm_shared::job::Sampling;
use tokio::sync::mpsc;

use super::Utterance;
use super::decoder_thread::GeneratedCodes;
use super::frame_stream::AudioFrame;
use super::guard::Budget;
use super::prefill::Prompt;
use super::schedule::Need;
use super::slots::SlotId;
use crate::model::{END_FRAME, Row};

/// How far the draws of a second try are from those of the first: further than the frames of any job reach.
const SECOND_TRY: u32 = 1 << 30;

/// One utterance in its slot.
pub(super) struct ActiveUtterance {
    pub(super) prompt: Prompt,
    /// The encoder has been asked for the codes of its recordings.
    pub(super) codes_requested: bool,
    sampling: Sampling,
    pub(super) budget: Budget,
    /// Draw index of the first frame.
    first_draw: u32,
    retried: bool,
    /// What an earlier attempt spoke; the first frame is made again before the others are taken over.
    resumed_frames: Vec<Frame>,
    /// Frames of `resumed_frames` that the model has made again or read.
    replayed_count: usize,
    /// Frames made or taken over, the end frame left out.
    pub(super) frames_made: u32,
    pub(super) frames: mpsc::Sender<AudioFrame>,
    /// When the last frame was made; `None` if none was, or the reader has been behind since.
    last_frame: Option<Instant>,
    pub(super) span: tracing::Span,
}

impl ActiveUtterance {
    /// An utterance that has taken its slot. `codes`: codes of a frame end here.
    pub(super) fn new(
        utterance: Utterance,
        codes: usize,
        frames: mpsc::Sender<AudioFrame>,
        span: tracing::Span,
    ) -> Self {
        let Utterance { context, recurring, text_ids, sampling, max_frames, first_frame, mut resumed_frames } =
            utterance;
        let budget = Budget::new(text_ids.len(), max_frames);
        // A frame that this model cannot have made, and all behind it, were not made by it.
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
            replayed_count: 0,
            frames_made: 0,
            frames,
            last_frame: None,
            span,
        }
    }

    /// What it could do next.
    pub(super) fn need(&mut self) -> Need {
        if self.prompt.waits_for_codes() {
            Need::Nothing
        } else if !self.prompt.is_complete() || self.needs_replay() {
            Need::Prompt
        } else if self.is_handing_over() {
            // The rest of what was spoken waits for room in the stream, not for the model.
            Need::Nothing
        } else if self.frames.capacity() > 0 {
            Need::Frame
        } else {
            self.last_frame = None;
            Need::Nothing
        }
    }

    /// Whether its recordings are to be encoded and nobody was asked to.
    pub(super) fn needs_codes(&self) -> bool {
        self.prompt.waits_for_codes() && !self.codes_requested
    }

    /// What the model needs to know for its next frame.
    pub(super) fn row(&self, slot: usize) -> Row {
        Row { slot, sampling: self.sampling, frame_index: self.first_draw.wrapping_add(self.frames_made) }
    }

    /// Notes that a frame was made; how long after the one before it, if its reader did not make it wait.
    pub(super) fn gap(&mut self, now: Instant) -> Option<Duration> {
        Some(now - self.last_frame.replace(now)?)
    }

    /// Takes note of the first frame, made here: it shows whether what was spoken before would be said again. The very same
    /// frame says so, and everything before it too.
    pub(super) fn check_resumed_frames(&mut self, first: &Frame) {
        if self.frames_made > 0 || self.resumed_frames.is_empty() {
            return;
        }
        if self.resumed_frames[0] == *first {
            // Nothing is made behind a budget that is used up.
            self.replayed_count =
                if self.resumed_frames.len() < self.budget.frames as usize { 1 } else { self.resumed_frames.len() };
        } else {
            tracing::warn!(parent: &self.span, "cannot resume: first frame differs, restarting utterance");
            self.resumed_frames.clear();
        }
    }

    /// Whether the model has to read more of what was spoken.
    pub(super) fn needs_replay(&self) -> bool {
        self.frames_made > 0 && self.replayed_count < self.resumed_frames.len()
    }

    /// Whether the next frame has been spoken before.
    pub(super) fn is_handing_over(&self) -> bool {
        self.frames_made > 0 && (self.frames_made as usize) < self.resumed_frames.len()
    }

    /// The next frames for the model to read, `most` of them at most.
    pub(super) fn next_replay(&self, most: usize) -> &[Frame] {
        let rest = &self.resumed_frames[self.replayed_count..];
        &rest[..rest.len().min(most)]
    }

    /// Notes that the model has read `count` of them.
    pub(super) fn advance_replay(&mut self, count: usize) {
        self.replayed_count += count;
        self.last_frame = None;
    }

    /// A frame on its way to its reader, if there is room; the next of those spoken before, or one that was just made.
    pub(super) fn hand_over(&mut self, id: SlotId, made: Option<Frame>) -> Option<GeneratedCodes> {
        let before = self.resumed_frames.get(self.frames_made as usize);
        let (codes, replayed) = (made.or(before.copied())?, before.is_some());
        let permit = self.frames.clone().try_reserve_owned().ok()?;
        self.frames_made += 1;
        Some(GeneratedCodes { id, codes, replayed, permit })
    }

    /// Whether nothing more may be made.
    pub(super) fn is_used_up(&self) -> bool {
        self.frames_made >= self.budget.frames
    }

    /// Whether the end frame is answered by a second try: once, when nothing has been spoken, with other draws. Without
    /// draws (at temperature 0) the model would only say the same.
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
