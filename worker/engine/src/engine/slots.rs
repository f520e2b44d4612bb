//! The slot table: the occupant of each slot. A slot's generation grows when the slot is freed, so
//! the id of an earlier occupant finds nothing.

/// Identity of one occupancy of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotId {
    /// Index in the table.
    pub(super) index: usize,
    /// Number of earlier occupants of the slot.
    pub(super) generation: u64,
}

/// Table of a fixed number of slots.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
}

struct Slot<T> {
    generation: u64,
    occupant: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new(count: usize) -> Self {
        Self { slots: (0..count).map(|_| Slot { generation: 0, occupant: None }).collect() }
    }

    /// Returns whether [`Slots::admit`] would find a free slot.
    pub(super) fn has_free(&self) -> bool {
        self.slots.iter().any(|slot| slot.occupant.is_none())
    }

    /// Puts `occupant` into the first free slot, or gives it back if there is none.
    pub(super) fn admit(&mut self, occupant: T) -> Result<SlotId, T> {
        match self.slots.iter_mut().enumerate().find(|(_, slot)| slot.occupant.is_none()) {
            Some((index, slot)) => {
                slot.occupant = Some(occupant);
                Ok(SlotId { index, generation: slot.generation })
            }
            None => Err(occupant),
        }
    }

    /// Returns the occupant, if it still has the slot.
    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index)?;
        if slot.generation == id.generation { slot.occupant.as_mut() } else { None }
    }

    /// Frees the slot and returns its occupant, if it still has the slot.
    pub(super) fn release(&mut self, id: SlotId) -> Option<T> {
        let slot = self.slots.get_mut(id.index)?;
        if slot.generation != id.generation {
            return None;
        }
        let occupant = slot.occupant.take()?;
        slot.generation += 1;
        Some(occupant)
    }

    /// Iterates over the occupants by index, mutably.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SlotId, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let occupant = slot.occupant.as_mut()?;
            Some((SlotId { index, generation: slot.generation }, occupant))
        })
    }

    /// Iterates over the occupants by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotId, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let occupant = slot.occupant.as_ref()?;
            Some((SlotId { index, generation: slot.generation }, occupant))
        })
    }
}
