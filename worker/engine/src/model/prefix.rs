//! What a slot has read, copied out of it and into others.

use super::net::BackendPrefix;
use super::{Model, ModelError};

/// Keys and values of a prompt's beginning, to be used again.
pub struct Prefix {
    saved: BackendPrefix,
    positions: usize,
}

impl Prefix {
    /// Positions it covers.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.saved.bytes()
    }
}

impl Model {
    /// Bytes of a [`Prefix`] of so many positions.
    #[must_use]
    pub fn prefix_bytes(&self, positions: usize) -> usize {
        self.net.prefix_bytes(positions)
    }

    /// Copies what a slot has read so far.
    ///
    /// # Errors
    /// The slot has spoken already, or the device has no memory.
    pub fn save_prefix(&self, slot: usize) -> Result<Prefix, ModelError> {
        let state = self.slot(slot)?;
        if state.frames > 0 {
            return Err(ModelError::StrangePrefix);
        }
        Ok(Prefix { saved: self.net.save_prefix(slot, state.positions)?, positions: state.positions })
    }

    /// Makes an empty slot as if it had read what `prefix` was copied from. At least one position must follow.
    ///
    /// # Errors
    /// The slot is not empty, or the prefix is of another model.
    pub fn restore_prefix(&mut self, slot: usize, prefix: &Prefix) -> Result<(), ModelError> {
        let state = self.slot(slot)?;
        if state.positions > 0 || prefix.positions > self.config.max_positions {
            return Err(ModelError::StrangePrefix);
        }
        self.net.restore_prefix(slot, &prefix.saved)?;
        self.slots[slot].positions = prefix.positions;
        Ok(())
    }
}
