//! The engine's thread: takes commands between steps and steps together all slots that can make a
//! frame. The thread sleeps only if no slot can move.
//!
//! The thread never waits for a single caller: a slot whose reader is behind is left out. If all
//! readers are behind, the thread blocks on its commands. A reader that takes a frame or leaves
//! sends [`EngineCommand::Wake`], as do the threads beside it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use csm_shared::job::FinishReason;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::active_utterance::ActiveUtterance;
use super::backend::{EngineParts, SpeechModel};
use super::decoder_thread::{DecodeJob, DecoderHandle};
use super::encoder_thread::{EncodeRequest, EncoderHandle};
use super::engine_command::{Admission, EngineCommand, FRAMES_AHEAD, StreamEnds};
use super::engine_command::{COMMANDS, EngineCapacity};
use super::error::EngineError;
use super::meter::{Meter, PrefixLookup};
use super::prefill;
use super::prefix_cache::PrefixCache;
use super::schedule::{NextWork, Schedule};
use super::side_thread::{EngineNotifier, NOTICES, Notice};
use super::slots::{SlotId, Slots};
use crate::model::END_FRAME;

struct EngineThread<M: SpeechModel> {
    model: M,
    commands: mpsc::Receiver<EngineCommand>,
    notices: Receiver<Notice>,
    // Field order matters: dropping the slots first tells the encoder that its codes are no longer
    // wanted.
    slots: Slots<ActiveUtterance>,
    decoder: DecoderHandle,
    encoder: EncoderHandle,
    schedule: Schedule,
    prefixes: PrefixCache<M::Prefix>,
    meter: Arc<Meter>,
}

/// Serves commands until the model fails or the last sender of commands is dropped; returns the
/// reason. The side threads use `wake` to wake this thread.
pub(super) fn serve<M: SpeechModel>(
    parts: EngineParts<M>,
    capacity: EngineCapacity,
    commands: mpsc::Receiver<EngineCommand>,
    wake: mpsc::WeakSender<EngineCommand>,
    meter: Arc<Meter>,
) -> Result<std::convert::Infallible, EngineError> {
    let (sender, notices) = sync_channel(NOTICES);
    let notifier = EngineNotifier { notices: sender, commands: wake };
    let mut thread = EngineThread {
        model: parts.model,
        commands,
        notices,
        slots: Slots::new(capacity.slots),
        decoder: DecoderHandle::start(parts.decoder, capacity.slots, notifier.clone(), Arc::clone(&meter))?,
        encoder: EncoderHandle::start(parts.encoder, notifier, Arc::clone(&meter))?,
        schedule: Schedule::default(),
        prefixes: PrefixCache::new(capacity.prefix_cache_bytes),
        meter,
    };
    loop {
        thread.tick()?;
    }
}

impl<M: SpeechModel> EngineThread<M> {
    fn tick(&mut self) -> Result<(), EngineError> {
        self.take_commands()?;
        self.take_notices()?;
        self.free_abandoned()?;
        self.request_codes();
        self.hand_over()?;
        match self.next_work() {
            Some(NextWork::Prompt(id)) => self.prefill_block(id),
            Some(NextWork::Step(ids)) => self.step(&ids),
            None => {
                let command = self.commands.blocking_recv().ok_or(EngineError::Closed)?;
                self.handle_command(command)
            }
        }
    }

    fn next_work(&mut self) -> Option<NextWork> {
        let needs: Vec<_> = self.slots.iter_mut().map(|(id, active)| (id, active.need())).collect();
        self.schedule.next(&needs)
    }

    fn take_commands(&mut self) -> Result<(), EngineError> {
        for _ in 0..COMMANDS {
            match self.commands.try_recv() {
                Ok(command) => self.handle_command(command)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(EngineError::Closed),
            }
        }
        Ok(())
    }

    fn handle_command(&mut self, command: EngineCommand) -> Result<(), EngineError> {
        match command {
            EngineCommand::Wake => Ok(()),
            EngineCommand::Admit(admission) => self.admit(*admission),
        }
    }

    fn take_notices(&mut self) -> Result<(), EngineError> {
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Encoded(id, Some(recordings)) => {
                    if let Some(active) = self.slots.get_mut(id) {
                        active.prompt.encoded(recordings);
                    }
                }
                Notice::Encoded(_, None) => {}
                Notice::RanAway(id) => drop(self.release(id, FinishReason::Runaway)),
                Notice::Ended(why) => return Err(why),
            }
        }
        Ok(())
    }

    fn admit(&mut self, admission: Admission) -> Result<(), EngineError> {
        let Admission { utterance, span, reply } = admission;
        self.free_abandoned()?;
        let limits = self.model.limits();
        let refusal = match prefill::check(&utterance, limits) {
            Ok(()) if self.slots.has_free() => None,
            Ok(()) => Some(EngineError::NoFreeSlot),
            Err(refused) => Some(refused),
        };
        if let Some(refusal) = refusal {
            // A caller that has stopped waiting needs no answer.
            let _ = reply.send(Err(refusal));
            return Ok(());
        }
        let (frames, received) = mpsc::channel(FRAMES_AHEAD);
        let (finish, finished) = oneshot::channel();
        if let Ok(id) = self.slots.admit(ActiveUtterance::new(utterance, limits.codes, frames, span.clone())) {
            tracing::debug!(parent: &span, slot = id.index, "admitted utterance");
            self.send_to_decoder(DecodeJob::Begin { id, finish, span })?;
        }
        // If the caller has stopped waiting, the stream's ends are dropped here, and the slot is
        // freed as an abandoned one.
        let _ = reply.send(Ok(StreamEnds { frames: received, finish: finished }));
        Ok(())
    }

    /// Frees the slots whose streams were dropped.
    fn free_abandoned(&mut self) -> Result<(), EngineError> {
        let abandoned = self.slots.iter().filter(|(_, active)| active.frames.is_closed());
        for id in abandoned.map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some(active) = self.slots.release(id) {
                tracing::debug!(parent: &active.span, frames = active.frames_made, "abandoned utterance");
                self.send_to_decoder(DecodeJob::Forget(id))?;
            }
        }
        Ok(())
    }

    /// Asks for the codes of recordings that were not requested yet. If the encoder's queue is
    /// full, a later tick asks again.
    fn request_codes(&mut self) {
        for (id, active) in self.slots.iter_mut().filter(|(_, active)| active.needs_codes()) {
            let (clips, stream) = (active.prompt.clips(), active.frames.downgrade());
            active.codes_requested = self.encoder.request(EncodeRequest { id, clips, stream });
        }
    }

    /// Feeds one block of a prompt, or of resumed frames, to the model.
    fn prefill_block(&mut self, id: SlotId) -> Result<(), EngineError> {
        let begun = Instant::now();
        if self.slots.get_mut(id).is_some_and(|active| active.needs_replay()) {
            return self.replay_block(id, begun);
        }
        if self.slots.get_mut(id).is_some_and(|active| active.prompt.is_untouched()) {
            self.begin_prompt(id)?;
        }
        let Some(ActiveUtterance { prompt, .. }) = self.slots.get_mut(id) else { return Ok(()) };
        let block = prompt.block(self.model.limits().block);
        let positions = block.len();
        self.model.prefill(id.index, block)?;
        prompt.fed(positions);
        self.save_prefix(id)?;
        self.meter.prefill_block(positions, begun.elapsed());
        Ok(())
    }

    fn replay_block(&mut self, id: SlotId, begun: Instant) -> Result<(), EngineError> {
        let Some(active) = self.slots.get_mut(id) else { return Ok(()) };
        let block = active.next_replay(self.model.limits().block);
        let frames = block.len();
        self.model.replay(id.index, block)?;
        active.advance_replay(frames);
        self.meter.prefill_block(frames, begun.elapsed());
        Ok(())
    }

    /// Sends resumed frames to the decoder, as far as the streams have room.
    fn hand_over(&mut self) -> Result<(), EngineError> {
        let (mut frames, mut ends) = (Vec::new(), Vec::new());
        for (id, active) in self.slots.iter_mut().filter(|(_, active)| active.is_handing_over()) {
            while active.is_handing_over()
                && let Some(made) = active.hand_over(id, None)
            {
                frames.push(made);
            }
            if active.is_used_up() {
                ends.push((id, active.budget.reason));
            }
        }
        for &(id, reason) in &ends {
            drop(self.release(id, reason));
        }
        if frames.is_empty() { Ok(()) } else { self.send_to_decoder(DecodeJob::Step { frames, ends }) }
    }

    /// Empties the slot for a prompt, and restores the cached prefix of its context.
    fn begin_prompt(&mut self, id: SlotId) -> Result<(), EngineError> {
        self.model.reset(id.index);
        let Some(ActiveUtterance { prompt, .. }) = self.slots.get_mut(id) else { return Ok(()) };
        let Some(context) = prompt.context().filter(|_| self.prefixes.is_on()) else { return Ok(()) };
        let Some((positions, prefix)) = self.prefixes.find(context) else {
            self.meter.prefix(PrefixLookup::Nothing);
            return Ok(());
        };
        self.meter.prefix(if positions == context.positions.len() { PrefixLookup::Whole } else { PrefixLookup::Part });
        self.model.restore_prefix(id.index, prefix)?;
        prompt.fed(positions);
        Ok(())
    }

    /// Caches the model's state after the positions fed so far, if it is worth caching.
    fn save_prefix(&mut self, id: SlotId) -> Result<(), EngineError> {
        let Some(ActiveUtterance { prompt, .. }) = self.slots.get_mut(id) else { return Ok(()) };
        let Some(context) = prompt.worth_keeping() else { return Ok(()) };
        let bytes = self.model.prefix_bytes(context.positions.len());
        // Check before copying: a copy that the cache would refuse only delays the next step.
        if self.prefixes.wants(context, bytes) {
            let prefix = self.model.save_prefix(id.index)?;
            self.prefixes.keep(context, prefix, bytes);
            self.meter.prefix_bytes(self.prefixes.bytes());
        }
        Ok(())
    }

    /// Makes one frame for each of these slots.
    fn step(&mut self, ids: &[SlotId]) -> Result<(), EngineError> {
        let rows: Vec<_> = ids.iter().filter_map(|id| Some(self.slots.get_mut(*id)?.row(id.index))).collect();
        let begun = Instant::now();
        let made = self.model.step(&rows)?;
        let now = Instant::now();
        self.meter.step(rows.len(), now - begun, self.model.step_times());
        let (mut frames, mut ends) = (Vec::with_capacity(ids.len()), Vec::new());
        for (&id, codes) in ids.iter().zip(made) {
            let Some(active) = self.slots.get_mut(id) else { continue };
            let codes = active.in_place_of(codes);
            if let Some(gap) = active.gap(now) {
                self.meter.gap(gap);
            }
            let ended = if codes == END_FRAME {
                if active.retries_empty() {
                    continue;
                }
                Some(FinishReason::Eos)
            } else {
                active.check_resumed_frames(&codes);
                // The stream has room, because only this thread reserves it. A reader that has left
                // is noticed before the next tick.
                let Some(made) = active.hand_over(id, Some(codes)) else { continue };
                frames.push(made);
                active.is_used_up().then_some(active.budget.reason)
            };
            if let Some(reason) = ended {
                // Release the slot before the end is published, so that a caller that sees the end
                // finds the slot free.
                drop(self.release(id, reason));
                ends.push((id, reason));
            }
        }
        self.send_to_decoder(DecodeJob::Step { frames, ends })
    }

    fn release(&mut self, id: SlotId, reason: FinishReason) -> Option<ActiveUtterance> {
        let active = self.slots.release(id)?;
        tracing::debug!(parent: &active.span, frames = active.frames_made, ?reason, "finished utterance");
        Some(active)
    }

    /// Sends a job to the decoder thread, or returns the reason why that thread has ended.
    fn send_to_decoder(&mut self, job: DecodeJob) -> Result<(), EngineError> {
        if self.decoder.send(job) {
            return Ok(());
        }
        loop {
            match self.notices.recv() {
                Ok(Notice::Ended(why)) => return Err(why),
                Ok(_) => {}
                Err(_) => return Err(EngineError::Panicked("the codec's thread is gone".to_owned())),
            }
        }
    }
}
