//! The thread `csm-codec`: frames of codes become sound here while the model makes the next ones, and go to their readers.
//!
//! An utterance's first frames are decoded one by one, so that it is heard early; later ones in blocks, which cost less a
//! frame. Where the blocks end depends on the utterance's own frames alone. All rows that have a block are decoded in one
//! call. What comes for an utterance that has ended is dropped, by the generation of its slot.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use csm_shared::audio::{FRAME_SAMPLES, Frame};
use csm_shared::job::FinishReason;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::oneshot;

use super::EngineError;
use super::backend::Decode;
use super::frame_stream::AudioFrame;
use super::guard::{Guard, GuardDecision};
use super::meter::Meter;
use super::side_thread::{EngineNotifier, JoinOnDrop, Notice};
use super::slots::SlotId;

/// Frames of an utterance's first blocks. They grow slowly, so that a listener who plays the first frame at once is not
/// kept waiting for a larger block as long as the model needs no more than four fifths of the time that the speech lasts.
const FIRST_BLOCKS: [usize; 8] = [1, 1, 1, 1, 2, 2, 2, 2];
/// Frames of each later block, 320 ms: the codec's weights are read once for all of them.
pub(super) const BLOCK_FRAMES: usize = 4;
/// Jobs that may wait for the thread; the engine's thread waits when there is no room. Each holds a frame at least or
/// concerns one utterance, so that what waits is bounded by the room in the streams anyway.
const JOBS: usize = 256;

/// What the thread is given to do.
pub(super) enum DecodeJob {
    /// An utterance takes a slot.
    Begin { id: SlotId, finish: oneshot::Sender<FinishReason> },
    /// What a step of the model made, and which utterances ended with it.
    Step { frames: Vec<GeneratedCodes>, ends: Vec<(SlotId, FinishReason)> },
    /// Nobody listens any more.
    Forget(SlotId),
}

/// A frame of codes on its way to its reader.
pub(super) struct GeneratedCodes {
    pub(super) id: SlotId,
    pub(super) codes: Frame,
    /// Whether an earlier attempt made it.
    pub(super) replayed: bool,
    /// Its place in the stream.
    pub(super) permit: OwnedPermit<AudioFrame>,
}

/// The engine's hold on the thread.
pub(super) struct DecoderHandle {
    // Dropped before the thread is joined, which ends on that.
    jobs: SyncSender<DecodeJob>,
    _thread: JoinOnDrop,
}

impl DecoderHandle {
    /// # Errors
    /// The system gives no thread.
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

    /// Hands on a job; false when the thread has ended, whose reason is then on its way.
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

/// One utterance being decoded.
struct DecodeStream {
    id: SlotId,
    finish: oneshot::Sender<FinishReason>,
    /// Not decoded yet.
    pending: VecDeque<GeneratedCodes>,
    /// Blocks decoded.
    blocks: usize,
    guard: Guard,
    /// Decoded, and held back by the guard.
    held: Vec<(OwnedPermit<AudioFrame>, AudioFrame)>,
    /// Why it ends after `made`, once that is known.
    end: Option<FinishReason>,
}

impl DecodeStream {
    /// Frames to decode now.
    fn due(&self) -> usize {
        let block = FIRST_BLOCKS.get(self.blocks).copied().unwrap_or(BLOCK_FRAMES);
        match self.pending.len() {
            enough if enough >= block => block,
            rest if self.end.is_some() => rest,
            _ => 0,
        }
    }

    /// Takes the sound of the next frame; true when the guard ends the utterance.
    fn deliver_pcm(&mut self, pcm: &[f32]) -> bool {
        let Some(GeneratedCodes { codes, replayed, permit, .. }) = self.pending.pop_front() else { return false };
        let verdict = self.guard.observe(&codes, pcm);
        self.held.push((permit, AudioFrame { codes, pcm: pcm.to_vec(), replayed }));
        if verdict == GuardDecision::Deliver {
            self.deliver();
        }
        verdict == GuardDecision::Stop
    }

    fn deliver(&mut self) {
        for (permit, frame) in self.held.drain(..) {
            permit.send(frame);
        }
    }
}

/// The decoder and those who listen to it, by slot.
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

    /// Takes note of a job, without decoding more than a new utterance's predecessor in the slot still needs.
    fn handle(&mut self, job: DecodeJob) -> Result<(), EngineError> {
        match job {
            DecodeJob::Begin { id, finish } => {
                if self.streams[id.index].is_some() {
                    self.decode()?;
                }
                self.decoder.reset(id.index);
                let (pending, held) = (VecDeque::new(), Vec::new());
                let stream = DecodeStream { id, finish, pending, blocks: 0, guard: Guard::default(), held, end: None };
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

    /// The utterance with this id, if it has not ended.
    fn stream(&mut self, id: SlotId) -> Option<&mut DecodeStream> {
        self.streams.get_mut(id.index)?.as_mut().filter(|stream| stream.id == id)
    }

    /// Decodes and delivers every whole block there is, then tells the ends that are reached.
    fn decode(&mut self) -> Result<(), EngineError> {
        while self.push()? {}
        for stream in &mut self.streams {
            let ended = stream.take_if(|stream| stream.end.is_some() && stream.pending.is_empty());
            if let Some(mut stream) = ended
                && let Some(reason) = stream.end
            {
                stream.deliver();
                // A reader that has left needs no reason.
                let _ = stream.finish.send(reason);
            }
        }
        Ok(())
    }

    /// One call of the decoder, with one block of each row that has one; false when none has.
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
        self.meter.push(rows.iter().map(|(_, frames)| frames.len()).sum(), begun.elapsed());
        for ((slot, frames), pcm) in rows.iter().zip(&sound) {
            check(pcm, frames.len())?;
            self.deliver_pcm(*slot, pcm);
        }
        Ok(true)
    }

    fn deliver_pcm(&mut self, slot: usize, pcm: &[f32]) {
        let Some(stream) = &mut self.streams[slot] else { return };
        stream.blocks += 1;
        let ran_away = pcm.chunks_exact(FRAME_SAMPLES).any(|pcm| stream.deliver_pcm(pcm));
        if ran_away && let Some(DecodeStream { id, finish, .. }) = self.streams[slot].take() {
            // The stream ends once the engine's thread has let go of it too, and freed the slot.
            self.notifier.notify(Notice::RanAway(id));
            let _ = finish.send(FinishReason::Runaway);
        }
    }
}

/// Refuses what is no sound.
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
