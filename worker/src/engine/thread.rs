//! The engine's thread: takes commands between steps, gives each slot its turn, and sleeps only when no slot can move.
//!
//! It never waits for one caller. A slot whose reader is behind is passed over; when all are, the thread blocks on its
//! commands, and a reader that takes a frame or leaves sends [`Command::Wake`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use csm_shared::job::{FinishReason, Sampling};
use csm_shared::telemetry::FRAME_STEP_SECONDS;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::prompt::{self, Prompt, Work};
use super::schedule::{Need, Schedule, Turn};
use super::slots::{SlotId, Slots};
use super::speech::SpeechModel;
use super::stream::{FRAMES_AHEAD, SpokenFrame, StreamEnds};
use super::{COMMANDS, EngineError, Utterance};
use crate::model::END_FRAME;

/// What a handle or a stream says to the thread.
pub(super) enum Command {
    /// Take a slot for an utterance.
    Admit(Box<Admission>),
    /// A reader took a frame or left: look at the slots again.
    Wake,
}

/// An utterance and where to answer.
pub(super) struct Admission {
    pub(super) utterance: Utterance,
    pub(super) span: tracing::Span,
    pub(super) reply: oneshot::Sender<Result<StreamEnds, EngineError>>,
}

/// One utterance in its slot.
struct Speaking<S> {
    prompt: Prompt,
    sampling: Sampling,
    max_frames: u32,
    frames_made: u32,
    state: S,
    frames: mpsc::Sender<SpokenFrame>,
    finish: oneshot::Sender<FinishReason>,
    span: tracing::Span,
}

impl<S> Speaking<S> {
    fn need(&self) -> Need {
        if self.prompt.work().is_some() {
            Need::Prompt
        } else if self.frames.capacity() > 0 {
            Need::Frame
        } else {
            Need::Reader
        }
    }
}

struct Thread<M: SpeechModel> {
    model: M,
    commands: mpsc::Receiver<Command>,
    slots: Slots<Speaking<M::State>>,
    schedule: Schedule,
}

/// Runs `body` to its end; a panic inside becomes an error like any other.
pub(super) fn guarded(body: impl FnOnce() -> Result<std::convert::Infallible, EngineError>) -> EngineError {
    let ended = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Err(error)) => error,
        Err(panic) => EngineError::Panicked(panic_message(panic.as_ref())),
    };
    if ended != EngineError::Closed {
        tracing::error!(error = %ended, "the engine has ended");
    }
    ended
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Serves commands until the model fails or nobody is left to send any; says which.
pub(super) fn serve<M: SpeechModel>(model: M, slots: usize, commands: mpsc::Receiver<Command>) -> EngineError {
    let mut thread = Thread { model, commands, slots: Slots::new(slots), schedule: Schedule::default() };
    loop {
        if let Err(ended) = thread.turn() {
            return ended;
        }
    }
}

impl<M: SpeechModel> Thread<M> {
    fn turn(&mut self) -> Result<(), EngineError> {
        self.take_commands()?;
        self.free_abandoned();
        match self.next_turn() {
            Some(Turn::Prompt(id)) => self.feed(id),
            Some(Turn::Frame(id)) => self.speak(id),
            None => {
                let command = self.commands.blocking_recv().ok_or(EngineError::Closed)?;
                self.obey(command)
            }
        }
    }

    fn next_turn(&mut self) -> Option<Turn> {
        let needs: Vec<_> = self.slots.iter().map(|(id, speaking)| (id, speaking.need())).collect();
        self.schedule.next(&needs)
    }

    fn take_commands(&mut self) -> Result<(), EngineError> {
        for _ in 0..COMMANDS {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(EngineError::Closed),
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Wake => Ok(()),
            Command::Admit(admission) => self.admit(*admission),
        }
    }

    fn admit(&mut self, admission: Admission) -> Result<(), EngineError> {
        let Admission { utterance, span, reply } = admission;
        self.free_abandoned();
        let refusal = match prompt::check(&utterance, self.model.limits()) {
            Ok(()) if self.slots.has_free() => None,
            Ok(()) => Some(EngineError::NoFreeSlot),
            Err(refused) => Some(refused),
        };
        if let Some(refusal) = refusal {
            // A caller that no longer waits needs no answer.
            let _ = reply.send(Err(refusal));
            return Ok(());
        }
        let (frames, received) = mpsc::channel(FRAMES_AHEAD);
        let (finish, finished) = oneshot::channel();
        let speaking = Speaking {
            prompt: Prompt::new(utterance.context, utterance.text_ids),
            sampling: utterance.sampling,
            max_frames: utterance.max_frames,
            frames_made: 0,
            state: self.model.new_state()?,
            frames,
            finish,
            span: span.clone(),
        };
        if let Ok(slot) = self.slots.admit(speaking) {
            tracing::debug!(parent: &span, slot = slot.index, "utterance admitted");
        }
        // A caller that no longer waits drops the stream's ends, and the slot is freed as any abandoned one.
        let _ = reply.send(Ok(StreamEnds { frames: received, finish: finished }));
        Ok(())
    }

    /// Frees the slots whose streams were dropped.
    fn free_abandoned(&mut self) {
        let abandoned = self.slots.iter().filter(|(_, speaking)| speaking.frames.is_closed());
        for id in abandoned.map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some(speaking) = self.slots.release(id) {
                tracing::debug!(parent: &speaking.span, frames = speaking.frames_made, "utterance abandoned");
            }
        }
    }

    /// One piece of a prompt.
    fn feed(&mut self, id: SlotId) -> Result<(), EngineError> {
        let Some(speaking) = self.slots.get_mut(id) else { return Ok(()) };
        match speaking.prompt.work() {
            Some(Work::Encode(clip)) => {
                let frames = self.model.encode(clip)?;
                speaking.prompt.encoded(frames);
            }
            Some(Work::Feed(positions)) => {
                self.model.prefill(&mut speaking.state, positions)?;
                speaking.prompt.fed();
            }
            None => {}
        }
        Ok(())
    }

    /// One frame.
    fn speak(&mut self, id: SlotId) -> Result<(), EngineError> {
        let Some(speaking) = self.slots.get_mut(id) else { return Ok(()) };
        let codes = timed("model", || self.model.step(&mut speaking.state, &speaking.sampling, speaking.frames_made))?;
        if codes == END_FRAME {
            self.finish(id, FinishReason::Eos);
            return Ok(());
        }
        let pcm = timed("codec", || self.model.decode(&mut speaking.state, &codes))?;
        speaking.frames_made += 1;
        // There is room, since only this thread fills it; a reader that has left is noticed before the next turn.
        let _ = speaking.frames.try_send(SpokenFrame { codes, pcm });
        if speaking.frames_made >= speaking.max_frames {
            self.finish(id, FinishReason::Length);
        }
        Ok(())
    }

    /// Frees the slot first, so that whoever hears of the end finds it free.
    fn finish(&mut self, id: SlotId, reason: FinishReason) {
        if let Some(speaking) = self.slots.release(id) {
            let Speaking { state, frames, finish, span, frames_made, .. } = speaking;
            drop(state);
            tracing::debug!(parent: &span, frames = frames_made, ?reason, "utterance finished");
            // A reader that has left needs no reason.
            let _ = finish.send(reason);
            drop(frames);
        }
    }
}

fn timed<T>(stage: &'static str, step: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let made = step();
    metrics::histogram!(FRAME_STEP_SECONDS, "stage" => stage).record(start.elapsed());
    made
}
