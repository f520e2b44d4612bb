//! What an attempt tells of its frames while it speaks: how far it is, for followers, the codes, for whoever may have to go
//! on, and for a live delivery the marked samples. All travel in the same events.
//!
//! An event that could not be written may have been written all the same. So it is kept as it is and written again under its
//! own id, before anything else: no listener gets a sample twice, or misses one.

use csm_queue::live::{AudioChunk, CodesChunk, Event, Origin, SentenceFrame};
use csm_shared::audio::FRAME_SAMPLES;

use super::sentence_stream::StreamedFrame;
use crate::encode;
use crate::marks::Marked;

/// Frames between two progress events: 400 ms of audio, which is also what a worker's end can cost, beside the frames that
/// have not left the engine.
pub(super) const PROGRESS_EVERY: u32 = 5;

// What was spoken since the last event goes out in one, as a rule.
const _: () = assert!(PROGRESS_EVERY as usize * FRAME_SAMPLES < AudioChunk::SAMPLES_MAX);

/// The frames of one attempt, told as they come.
pub(super) struct ProgressPublisher {
    origin: Origin,
    max_frames: u32,
    /// Frames heard.
    frames: u32,
    /// Those at the beginning that were taken over from the checkpoint.
    resumed: u32,
    /// Frames that the job's stream does not hold yet.
    unpublished: Vec<SentenceFrame>,
    /// Samples, where the delivery is live.
    samples: Option<Samples>,
    /// Place of the last event that was made. The first of an attempt tells of its start.
    sequence: u64,
    /// The last event that was made, until it is in the stream.
    unconfirmed: Option<PendingEvent>,
    /// Whether there may be something to tell now.
    due: bool,
}

/// One event to be written.
#[derive(Debug, PartialEq)]
pub(super) struct PendingEvent {
    /// Its place within the attempt.
    pub(super) sequence: u64,
    pub(super) event: Event,
    pub(super) codes: Option<CodesChunk>,
}

impl ProgressPublisher {
    /// `published` are the samples that earlier attempts have sent, `None` where samples are not to be sent at all.
    pub(super) fn new(origin: Origin, max_frames: u32, published: Option<u64>) -> Self {
        let samples = published.map(|published| Samples { published, received: 0, unpublished: Vec::new() });
        Self {
            origin,
            max_frames,
            frames: 0,
            resumed: 0,
            unpublished: Vec::new(),
            samples,
            sequence: 1,
            unconfirmed: None,
            due: false,
        }
    }

    /// Takes the next frame, and the samples that are ready to leave with it. Codes that the stream holds already are not told
    /// again, so that an attempt that is cut off while it repeats what was spoken leaves the checkpoint as it was.
    pub(super) fn push(&mut self, frame: &StreamedFrame, ready: &Marked) {
        let replayed = frame.replayed && self.resumed == self.frames;
        self.frames += 1;
        if let Some(samples) = &mut self.samples {
            samples.push(ready);
        }
        if replayed {
            self.resumed += 1;
            return;
        }
        self.unpublished.push((frame.sentence as u16, frame.codes));
        let first_samples = self.samples.as_ref().is_some_and(Samples::are_first);
        self.due = (self.frames - self.resumed) % PROGRESS_EVERY == 1 || first_samples;
    }

    /// Takes the last samples: all that is left is to be told now.
    pub(super) fn end(&mut self, ready: &Marked, rest: &Marked) {
        if let Some(samples) = &mut self.samples {
            samples.push(ready);
            samples.push(rest);
            self.due = true;
        }
    }

    /// What is to be written now, if anything. Once it is written, [`Self::mark_published`] makes room for the next.
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

    /// What was due is in the stream.
    pub(super) fn mark_published(&mut self) {
        self.unconfirmed = None;
    }

    /// What was due could not be written; it is due again with the next event.
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

    /// Frames heard.
    pub(super) const fn frames(&self) -> u32 {
        self.frames
    }

    /// Those of them that were taken over.
    pub(super) const fn resumed(&self) -> u32 {
        self.resumed
    }
}

/// The samples of a recording on their way to those who listen. Every attempt makes them from the first on; what an earlier
/// one has sent is not sent again, even if it were to sound otherwise.
struct Samples {
    /// Samples in events, of this attempt and those before it.
    published: u64,
    /// Samples of the recording heard.
    received: u64,
    /// Bytes of those that are in no event.
    unpublished: Vec<u8>,
}

impl Samples {
    fn push(&mut self, marked: &Marked) {
        let pcm = encode::pcm(marked);
        let samples = marked.samples().len() as u64;
        // Only while nothing waits can what comes have been sent before.
        let sent = self.published.saturating_sub(self.received).min(samples) as usize;
        self.received += samples;
        self.unpublished.extend_from_slice(&pcm[sent * size_of::<i16>()..]);
    }

    /// Whether these are the first of the job that can be sent.
    const fn are_first(&self) -> bool {
        self.published == 0 && !self.unpublished.is_empty()
    }

    /// As many as go into one event.
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
