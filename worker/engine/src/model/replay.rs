//! Frames that a slot did not make itself but continues from.

use csm_shared::audio::Frame;

use super::{END_FRAME, Model, ModelError, Position};

impl Model {
    /// Replaces the last frame of a slot before the next step reads it. The slot then continues the
    /// output of another model.
    ///
    /// # Errors
    /// The slot has made no frame, or a code is out of range.
    pub fn force(&mut self, slot: usize, frame: Frame) -> Result<(), ModelError> {
        Position::Audio(frame).check(0, &self.config)?;
        let state = self.slot(slot)?;
        if state.frames == 0 {
            return Err(ModelError::NothingToContinue);
        }
        self.slots[slot].pending = Some(frame);
        Ok(())
    }

    /// Takes frames that were made earlier as if steps had made them. The next step continues after
    /// the last of them, with the same bits as if this slot had made them. No code is drawn, so a
    /// frame costs a position of the backbone instead of a step.
    ///
    /// # Errors
    /// There is nothing to continue from, a code is out of range or the window is full. The slot is
    /// then unchanged.
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
