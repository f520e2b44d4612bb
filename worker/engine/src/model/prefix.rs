//! Prefixes: keys and values that one slot has read, to be copied into other slots.

use super::backend_prefix::BackendPrefix;
use super::{Model, ModelError};

/// Keys and values of the beginning of a prompt, for reuse.
pub struct Prefix {
    saved: BackendPrefix,
    positions: usize,
}

impl Prefix {
    /// Returns the number of positions that the prefix covers.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Returns the bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.saved.bytes()
    }
}

impl Model {
    /// Returns the bytes of a [`Prefix`] of so many positions.
    #[must_use]
    pub fn prefix_bytes(&self, positions: usize) -> usize {
        self.net.prefix_bytes(positions)
    }

    /// Copies the positions that a slot has read so far.
    ///
    /// # Errors
    /// The slot has made frames, or the device has no memory.
    pub fn save_prefix(&self, slot: usize) -> Result<Prefix, ModelError> {
        let state = self.slot(slot)?;
        if state.frames > 0 {
            return Err(ModelError::StrangePrefix);
        }
        Ok(Prefix { saved: self.net.save_prefix(slot, state.positions)?, positions: state.positions })
    }

    /// Fills an empty slot as if it had read the positions of `prefix`. At least one position must
    /// follow.
    ///
    /// # Errors
    /// The slot is not empty, or the prefix does not fit: it is longer than the window, or from
    /// another kind of device.
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
