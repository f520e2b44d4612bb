//! The thread `csm-codec`: decodes frames of codes to audio while the model makes the next ones,
//! and sends them to their readers.
//!
//! The first frames of an utterance are decoded one by one, so that its audio starts early. Later
//! frames are decoded in blocks, which cost less per frame. The block boundaries depend on the
//! utterance's own frames alone. Each call decodes a block of every row that has one. Frames for an
//! utterance that has ended are dropped; the slot's generation tells.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use csm_shared::audio::{FRAME_SAMPLES, Frame};
use csm_shared::job::FinishReason;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::oneshot;
use tracing::Span;
use tracing::field::Empty;

use super::backend::Decode;
use super::engine_command::{AudioFrame, FRAMES_AHEAD};
use super::error::EngineError;
use super::guard::{Guard, GuardDecision, HELD_FRAMES};
use super::meter::Meter;
use super::side_thread::{EngineNotifier, JoinOnDrop, Notice};
use super::slots::SlotId;

/// Sizes of an utterance's first blocks, in frames. The sizes grow slowly, so that playback can
/// start with the first frame. A listener never waits for a larger block if generation takes at
/// most four fifths of the audio's duration.
const FIRST_BLOCKS: [usize; 8] = [1, 1, 1, 1, 2, 2, 2, 2];
/// Size of each later block: 4 frames, 320 ms. The codec's weights are read once for all frames of
/// a block.
pub(super) const BLOCK_FRAMES: usize = 4;

// A held frame, or one that waits for its block, takes room in its stream. If such frames took all
// the room, no frame could come that ends the wait.
const _: () = assert!(HELD_FRAMES as usize + BLOCK_FRAMES <= FRAMES_AHEAD);
/// Capacity of the job queue; the engine's thread waits if it is full. A job holds at least one
/// frame or concerns one utterance, so the streams' capacity also bounds the queue.
const JOBS: usize = 256;

/// A job for the decoder thread.
pub(super) enum DecodeJob {
    /// An utterance takes a slot.
    Begin { id: SlotId, finish: oneshot::Sender<FinishReason>, span: Span },
    /// A step of the model made these frames, and these utterances ended with it.
    Step { frames: Vec<GeneratedCodes>, ends: Vec<(SlotId, FinishReason)> },
    /// The reader of this utterance has left.
    Forget(SlotId),
}

/// A frame of codes on its way to its reader.
pub(super) struct GeneratedCodes {
    pub(super) id: SlotId,
    pub(super) codes: Frame,
    /// Whether an earlier attempt made the frame.
    pub(super) replayed: bool,
    /// Reserved place in the stream.
    pub(super) permit: OwnedPermit<AudioFrame>,
}

/// The engine's handle of the decoder thread.
pub(super) struct DecoderHandle {
    // Field order matters: dropping the sender ends the thread, which is joined after that.
    jobs: SyncSender<DecodeJob>,
    _thread: JoinOnDrop,
}

impl DecoderHandle {
    /// # Errors
    /// [`EngineError::Start`] if the system gives no thread.
    pub(super) fn start<D: Decode>(
        decoder: D,
        slots: usize,
        notifier: EngineNotifier,
        meter: Arc<Meter>,
    ) -> Result<Self, EngineError> {
        let (jobs, received) = sync_channel(JOBS);
        let state = DecoderThread::new(decoder, slots, notifier.clone(), meter);
        let thread = JoinOnDrop::start("csm-codec", notifier, move || serve(state, &received))?;
        Ok(Self { jobs, _thread: thread })
    }

    /// Sends a job. Returns false if the thread has ended; a notice then carries the reason.
    pub(super) fn send(&self, job: DecodeJob) -> bool {
        self.jobs.send(job).is_ok()
    }
}

fn serve<D: Decode>(mut state: DecoderThread<D>, jobs: &Receiver<DecodeJob>) -> Result<Infallible, EngineError> {
    while let Ok(job) = jobs.recv() {
        state.handle(job)?;
        for job in jobs.try_iter().take(JOBS) {
            state.handle(job)?;
        }
        state.decode()?;
    }
    Err(EngineError::Closed)
}

/// Decoding state of one utterance.
struct DecodeStream {
    id: SlotId,
    finish: oneshot::Sender<FinishReason>,
    /// Frames that are not decoded yet.
    pending: VecDeque<GeneratedCodes>,
    /// Number of decoded blocks.
    blocks: usize,
    guard: Guard,
    /// Decoded frames that the guard holds back.
    held: Vec<(OwnedPermit<AudioFrame>, AudioFrame)>,
    /// Reason of the end after the `pending` frames, once known.
    end: Option<FinishReason>,
    /// Span of the utterance.
    span: Span,
    /// Span from the first block to the end, and the part of it in which blocks were decoded.
    codec: Option<(Span, Duration)>,
}

impl DecodeStream {
    /// Returns the number of frames to decode now.
    fn due(&self) -> usize {
        let block = FIRST_BLOCKS.get(self.blocks).copied().unwrap_or(BLOCK_FRAMES);
        match self.pending.len() {
            enough if enough >= block => block,
            rest if self.end.is_some() => rest,
            _ => 0,
        }
    }

    /// Takes the audio of the next frame. Returns true if the guard ends the utterance.
    fn deliver_pcm(&mut self, pcm: &[f32]) -> bool {
        let Some(GeneratedCodes { codes, replayed, permit, .. }) = self.pending.pop_front() else { return false };
        let verdict = self.guard.observe(&codes, pcm);
        self.held.push((permit, AudioFrame { codes, pcm: pcm.to_vec(), replayed }));
        if verdict == GuardDecision::Deliver {
            self.deliver();
        }
        verdict == GuardDecision::Stop
    }

    /// Records a call of the decoder that had a block of this utterance.
    fn decoded(&mut self, took: Duration) {
        let (utterance, busy_ms) = (&self.span, Empty);
        let begin = || (tracing::info_span!(parent: utterance, "codec", busy_ms), Duration::ZERO);
        self.codec.get_or_insert_with(begin).1 += took;
    }

    /// Ends the utterance.
    fn finish(mut self, reason: FinishReason) {
        if let Some((span, busy)) = self.codec.take() {
            span.record("busy_ms", busy.as_secs_f64() * 1_000.0);
        }
        // A reader that has left needs no reason.
        let _ = self.finish.send(reason);
    }

    fn deliver(&mut self) {
        for (permit, frame) in self.held.drain(..) {
            permit.send(frame);
        }
    }
}

/// State of the decoder thread: the codec's decoder, and the utterance of each slot.
struct DecoderThread<D> {
    decoder: D,
    streams: Vec<Option<DecodeStream>>,
    notifier: EngineNotifier,
    meter: Arc<Meter>,
}

impl<D: Decode> DecoderThread<D> {
    fn new(decoder: D, slots: usize, notifier: EngineNotifier, meter: Arc<Meter>) -> Self {
        Self { decoder, streams: (0..slots).map(|_| None).collect(), notifier, meter }
    }

    /// Handles a job. Only a new utterance causes decoding here, if the slot's previous utterance
    /// still has frames.
    fn handle(&mut self, job: DecodeJob) -> Result<(), EngineError> {
        match job {
            DecodeJob::Begin { id, finish, span } => {
                if self.streams[id.index].is_some() {
                    self.decode()?;
                }
                self.decoder.reset(id.index);
                let (pending, held) = (VecDeque::new(), Vec::new());
                let (blocks, guard, end, codec) = (0, Guard::default(), None, None);
                let stream = DecodeStream { id, finish, pending, blocks, guard, held, end, span, codec };
                self.streams[id.index] = Some(stream);
            }
            DecodeJob::Step { frames, ends } => {
                for made in frames {
                    if let Some(stream) = self.stream(made.id) {
                        stream.pending.push_back(made);
                    }
                }
                for (id, reason) in ends {
                    if let Some(stream) = self.stream(id) {
                        stream.end = Some(reason);
                    }
                }
            }
            DecodeJob::Forget(id) => {
                if self.stream(id).is_some() {
                    self.streams[id.index] = None;
                }
            }
        }
        Ok(())
    }

    /// Returns the utterance with this id, if it has not ended.
    fn stream(&mut self, id: SlotId) -> Option<&mut DecodeStream> {
        self.streams.get_mut(id.index)?.as_mut().filter(|stream| stream.id == id)
    }

    /// Decodes and delivers every complete block, then finishes the utterances that have ended.
    fn decode(&mut self) -> Result<(), EngineError> {
        while self.push()? {}
        for stream in &mut self.streams {
            let ended = stream.take_if(|stream| stream.end.is_some() && stream.pending.is_empty());
            if let Some(mut stream) = ended
                && let Some(reason) = stream.end
            {
                stream.deliver();
                stream.finish(reason);
            }
        }
        Ok(())
    }

    /// Calls the decoder once, with one block of each row that has one. Returns false if no row has
    /// a block.
    fn push(&mut self) -> Result<bool, EngineError> {
        let due = self.streams.iter().flatten().filter(|stream| stream.due() > 0);
        let blocks: Vec<(usize, Vec<Frame>)> = due
            .map(|stream| {
                let frames = stream.pending.iter().take(stream.due());
                (stream.id.index, frames.map(|made| made.codes).collect())
            })
            .collect();
        if blocks.is_empty() {
            return Ok(false);
        }
        let rows: Vec<(usize, &[Frame])> = blocks.iter().map(|(slot, frames)| (*slot, &frames[..])).collect();
        let begun = Instant::now();
        let sound = self.decoder.push(&rows)?;
        let took = begun.elapsed();
        self.meter.push(rows.iter().map(|(_, frames)| frames.len()).sum(), took);
        for ((slot, frames), pcm) in rows.iter().zip(&sound) {
            check(pcm, frames.len())?;
            self.deliver_pcm(*slot, pcm, took);
        }
        Ok(true)
    }

    fn deliver_pcm(&mut self, slot: usize, pcm: &[f32], took: Duration) {
        let Some(stream) = &mut self.streams[slot] else { return };
        stream.blocks += 1;
        stream.decoded(took);
        let ran_away = pcm.chunks_exact(FRAME_SAMPLES).any(|pcm| stream.deliver_pcm(pcm));
        if ran_away && let Some(stream) = self.streams[slot].take() {
            // The stream ends after the engine's thread has also dropped its sender and freed the
            // slot.
            self.notifier.notify(Notice::RanAway(stream.id));
            stream.finish(FinishReason::Runaway);
        }
    }
}

/// Checks that the decoder returned the right number of samples and only finite ones.
fn check(pcm: &[f32], frames: usize) -> Result<(), EngineError> {
    let samples = pcm.len();
    if samples != frames * FRAME_SAMPLES {
        return Err(EngineError::Model(format!("the codec made {samples} samples of {frames} frames")));
    }
    if pcm.iter().all(|sample| sample.is_finite()) {
        Ok(())
    } else {
        Err(EngineError::Model("the codec made a sample that is not a number".to_owned()))
    }
}
