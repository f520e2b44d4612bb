//! Frames that a slot did not speak itself: what another one said is continued.

use csm_shared::audio::Frame;

use super::{END_FRAME, Model, ModelError, Position};

impl Model {
    /// Replaces the frame that a slot spoke last, before the next step reads it: what another model said is continued.
    ///
    /// # Errors
    /// The slot has spoken no frame, or a code is out of range.
    pub fn force(&mut self, slot: usize, frame: Frame) -> Result<(), ModelError> {
        Position::Audio(frame).check(0, &self.config)?;
        let state = self.slot(slot)?;
        if state.frames == 0 {
            return Err(ModelError::NothingToContinue);
        }
        self.slots[slot].pending = Some(frame);
        Ok(())
    }

    /// Takes frames that were spoken before as if steps had made them: the next step continues behind the last of them, with
    /// the very bits that it would have had there. No code is drawn, so this costs a prompt's time, not that of steps.
    ///
    /// # Errors
    /// There is nothing to continue from, a code is out of range or the window is full; then nothing has changed.
    pub fn replay(&mut self, slot: usize, frames: &[Frame]) -> Result<(), ModelError> {
        let state = self.slot(slot)?;
        let Some((&last, earlier)) = frames.split_last() else { return Ok(()) };
        if (state.pending.is_none() && !state.ready) || frames.contains(&END_FRAME) {
            return Err(ModelError::NothingToContinue);
        }
        for (index, &frame) in frames.iter().enumerate() {
            Position::Audio(frame).check(index, &self.config)?;
        }
        let read: Vec<_> = state.pending.iter().chain(earlier).copied().collect();
        let start = state.positions;
        self.check_window(start + read.len())?;
        self.net.replay(slot, start, &read)?;
        let state = &mut self.slots[slot];
        state.positions += read.len();
        state.frames += frames.len();
        state.ready = false;
        state.pending = Some(last);
        Ok(())
    }
}
