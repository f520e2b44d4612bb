//! Progress events of a running attempt. Each holds the number of frames for followers, and the
//! codes for a later attempt. If the delivery is live, it also holds the marked samples.
//!
//! An event whose write failed may have been written all the same. The event is therefore kept and
//! written again under its own id, before any other event. No follower gets a sample twice or
//! misses one.

use csm_queue::live::{AudioChunk, CodesChunk, Event, Origin, SentenceFrame};
use csm_shared::audio::FRAME_SAMPLES;

use super::sentence_stream::StreamedFrame;
use crate::encode;
use crate::marks::Marked;

/// Pace at which the codes of a running job are published. The loss of a worker costs each of its jobs at
/// most the frames between two events and those that have not left the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishPace {
    /// Every 5 frames: 400 ms of audio.
    Often,
    /// Every 25 frames: 2 s of audio.
    Seldom,
}

impl PublishPace {
    /// Returns the number of frames between two progress events.
    const fn frames(self) -> u32 {
        match self {
            Self::Often => 5,
            Self::Seldom => 25,
        }
    }
}

// As a rule, all samples since the last event fit into the next one.
const _: () = assert!(PublishPace::Often.frames() as usize * FRAME_SAMPLES < AudioChunk::SAMPLES_MAX);

/// Publisher of the frames of one attempt, as they come.
pub(super) struct ProgressPublisher {
    origin: Origin,
    pace: PublishPace,
    max_frames: u32,
    /// Number of frames received.
    frames: u32,
    /// Number of leading frames that were resumed from an earlier attempt.
    resumed: u32,
    /// Sentence and take of the last frame.
    place: (usize, u8),
    /// Number of frames before the sentence of the last frame.
    before_sentence: u32,
    /// Whether the stream does not hold the frames as an earlier attempt generated them.
    is_new: bool,
    /// Frames that the job's stream does not hold yet.
    unpublished: Vec<SentenceFrame>,
    /// Samples, if the delivery is live.
    samples: Option<Samples>,
    /// Number of the last event. Event 1 of an attempt announces its start.
    sequence: u64,
    /// The last event, until it is known to be in the stream.
    unconfirmed: Option<PendingEvent>,
    /// Whether an event may be due now.
    due: bool,
}

/// Event to be written.
#[derive(Debug, PartialEq)]
pub(super) struct PendingEvent {
    /// Number of the event within the attempt.
    pub(super) sequence: u64,
    pub(super) event: Event,
    pub(super) codes: Option<CodesChunk>,
}

impl ProgressPublisher {
    /// Creates the publisher of an attempt. `published` is the number of samples that earlier
    /// attempts have sent; with `None`, no samples are sent.
    pub(super) fn new(origin: Origin, pace: PublishPace, max_frames: u32, published: Option<u64>) -> Self {
        let samples = published.map(|published| Samples { published, received: 0, unpublished: Vec::new() });
        Self {
            origin,
            pace,
            max_frames,
            frames: 0,
            resumed: 0,
            place: (0, 0),
            before_sentence: 0,
            is_new: false,
            unpublished: Vec::new(),
            samples,
            sequence: 1,
            unconfirmed: None,
            due: false,
        }
    }

    /// Takes the next frame, and the samples that are ready to leave with it. Codes that the stream
    /// already holds are not written again. An attempt that is cut off while it replays frames
    /// therefore leaves the resume point as it was.
    pub(super) fn push(&mut self, frame: &StreamedFrame, ready: &Marked) {
        self.go_to(frame.sentence, frame.take);
        self.is_new |= !frame.replayed;
        self.frames += 1;
        if let Some(samples) = &mut self.samples {
            samples.push(ready);
        }
        if !self.is_new {
            self.resumed += 1;
            return;
        }
        let (sentence, take) = (frame.sentence as u16, frame.take);
        self.unpublished.push(SentenceFrame { sentence, take, codes: frame.codes });
        let first_samples = self.samples.as_ref().is_some_and(Samples::are_first);
        self.due = (self.frames - self.resumed) % self.pace.frames() == 1 || first_samples;
    }

    /// Goes to a take of a sentence. The frames of the take before it are given up: the first frame of
    /// the next chunk replaces them.
    fn go_to(&mut self, sentence: usize, take: u8) {
        if sentence != self.place.0 {
            self.before_sentence = self.frames;
        } else if take != self.place.1 {
            self.frames = self.before_sentence;
            self.resumed = self.resumed.min(self.frames);
            self.is_new = true;
            self.unpublished.retain(|frame| usize::from(frame.sentence) != sentence);
        }
        self.place = (sentence, take);
    }

    /// Takes the last samples, which makes all remaining samples due.
    pub(super) fn end(&mut self, ready: &Marked, rest: &Marked) {
        if let Some(samples) = &mut self.samples {
            samples.push(ready);
            samples.push(rest);
            self.due = true;
        }
    }

    /// Returns the event to write now, if any. After the write, [`Self::mark_published`] makes room
    /// for the next event.
    pub(super) fn due(&mut self) -> Option<&PendingEvent> {
        if !self.due {
            return None;
        }
        if self.unconfirmed.is_none() {
            self.unconfirmed = self.next();
        }
        self.due = self.unconfirmed.is_some();
        self.unconfirmed.as_ref()
    }

    /// Marks the pending event as written.
    pub(super) fn mark_published(&mut self) {
        self.unconfirmed = None;
    }

    /// Defers the pending event, whose write failed, until the next event is due.
    pub(super) const fn defer(&mut self) {
        self.due = false;
    }

    fn next(&mut self) -> Option<PendingEvent> {
        let audio = self.samples.as_mut().and_then(Samples::take);
        if self.unpublished.is_empty() && audio.is_none() {
            return None;
        }
        let Self { origin, frames, max_frames, .. } = *self;
        let from = frames - self.unpublished.len() as u32;
        let codes = (!self.unpublished.is_empty()).then(|| CodesChunk {
            origin,
            from,
            frames: std::mem::take(&mut self.unpublished),
        });
        self.sequence += 1;
        Some(PendingEvent { sequence: self.sequence, event: Event::Progress { frames, max_frames, audio }, codes })
    }

    /// Returns the number of frames received.
    pub(super) const fn frames(&self) -> u32 {
        self.frames
    }

    /// Returns the number of resumed frames.
    pub(super) const fn resumed(&self) -> u32 {
        self.resumed
    }
}

/// Samples of a recording on their way to the followers. Every attempt makes them from the first
/// on. Samples that an earlier attempt has sent are not sent again, even if they differ.
struct Samples {
    /// Samples in events of this attempt and those before it.
    published: u64,
    /// Samples received from this attempt.
    received: u64,
    /// Bytes of the received samples that are in no event yet.
    unpublished: Vec<u8>,
}

impl Samples {
    fn push(&mut self, marked: &Marked) {
        let pcm = encode::pcm(marked);
        let samples = marked.samples().len() as u64;
        // Samples already sent can only occur while `unpublished` is empty.
        let sent = self.published.saturating_sub(self.received).min(samples) as usize;
        self.received += samples;
        self.unpublished.extend_from_slice(&pcm[sent * size_of::<i16>()..]);
    }

    /// Returns true if these are the first samples of the job that can be sent.
    const fn are_first(&self) -> bool {
        self.published == 0 && !self.unpublished.is_empty()
    }

    /// Takes as many samples as fit into one event.
    fn take(&mut self) -> Option<AudioChunk> {
        let bytes = self.unpublished.len().min(AudioChunk::SAMPLES_MAX * size_of::<i16>());
        let audio = AudioChunk::new(self.published, &self.unpublished[..bytes])?;
        self.unpublished.drain(..bytes);
        self.published = audio.end();
        Some(audio)
    }
}

#[cfg(test)]
mod tests;
