//! The slot table: who sits where. A slot's generation changes when it is freed, so an id of an earlier tenant finds
//! nobody.

/// A tenant's claim on one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotId {
    /// Place in the table.
    pub(super) index: usize,
    /// How many tenants the place had before.
    pub(super) generation: u64,
}

/// A fixed number of slots.
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

    /// Whether [`Slots::admit`] would find a place.
    pub(super) fn has_free(&self) -> bool {
        self.slots.iter().any(|slot| slot.occupant.is_none())
    }

    /// Seats `occupant` in the first free slot, or gives it back.
    pub(super) fn admit(&mut self, occupant: T) -> Result<SlotId, T> {
        match self.slots.iter_mut().enumerate().find(|(_, slot)| slot.occupant.is_none()) {
            Some((index, slot)) => {
                slot.occupant = Some(occupant);
                Ok(SlotId { index, generation: slot.generation })
            }
            None => Err(occupant),
        }
    }

    /// The tenant, if it still sits there.
    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index)?;
        if slot.generation == id.generation { slot.occupant.as_mut() } else { None }
    }

    /// Frees the slot and gives the tenant back, if it still sits there.
    pub(super) fn release(&mut self, id: SlotId) -> Option<T> {
        let slot = self.slots.get_mut(id.index)?;
        if slot.generation != id.generation {
            return None;
        }
        let occupant = slot.occupant.take()?;
        slot.generation += 1;
        Some(occupant)
    }

    /// The tenants, by index, to be changed in place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SlotId, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let occupant = slot.occupant.as_mut()?;
            Some((SlotId { index, generation: slot.generation }, occupant))
        })
    }

    /// The tenants, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotId, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let occupant = slot.occupant.as_ref()?;
            Some((SlotId { index, generation: slot.generation }, occupant))
        })
    }
}
