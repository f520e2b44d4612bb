//! Whose turn it is. In a round every slot that can make a frame makes one; between two rounds one slot is fed one
//! piece of its prompt. So a running utterance waits for the other frames and one piece at most, however long the
//! prompts are. (Encoding a context recording counts as one piece, and takes as long as the recording needs.)

use super::slots::SlotId;

/// What a slot could do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Be fed a piece of its prompt.
    Prompt,
    /// Make a frame.
    Frame,
    /// Nothing until its reader takes a frame.
    Reader,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Feed this slot one piece of its prompt.
    Prompt(SlotId),
    /// Make one frame for this slot.
    Frame(SlotId),
}

/// Where the rounds have come to.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Slots from this index on have not had their frame in this round.
    frames_from: usize,
    /// The index at which the search for the next prompt begins.
    prompts_from: usize,
}

impl Schedule {
    /// The next turn among `slots`, given by ascending index; `None` when no slot can do anything.
    pub(super) fn next(&mut self, slots: &[(SlotId, Need)]) -> Option<Turn> {
        if let Some(id) = first(slots, Need::Frame, self.frames_from) {
            return Some(self.frame(id));
        }
        self.frames_from = 0;
        let prompt = first(slots, Need::Prompt, self.prompts_from);
        if let Some(id) = prompt.or_else(|| first(slots, Need::Prompt, 0)) {
            self.prompts_from = id.index + 1;
            return Some(Turn::Prompt(id));
        }
        first(slots, Need::Frame, 0).map(|id| self.frame(id))
    }

    fn frame(&mut self, id: SlotId) -> Turn {
        self.frames_from = id.index + 1;
        Turn::Frame(id)
    }
}

fn first(slots: &[(SlotId, Need)], need: Need, from: usize) -> Option<SlotId> {
    slots.iter().find(|(id, has)| *has == need && id.index >= from).map(|(id, _)| *id)
}
