//! The choice of the next work: one step of every slot that can make a frame, or one block of one
//! slot's prompt. Between two steps there is at most one block. A running utterance therefore waits
//! for one block at most, however long and many the prompts are. Prompts alternate block by block.

use super::slots::SlotId;

/// Work that a slot could do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Read a block of its prompt, or of its resumed frames.
    Prompt,
    /// Make a frame.
    Frame,
    /// No work until the reader takes a frame, or the recordings are encoded.
    Nothing,
}

/// Next work of the engine's thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextWork {
    /// Feed one block to this slot.
    Prompt(SlotId),
    /// Make one frame for each of these slots.
    Step(Vec<SlotId>),
}

/// State of the choice: the last work.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Whether a block was fed since the last step.
    fed: bool,
    /// Slot index where the search for the next prompt begins.
    prompts_from: usize,
}

impl Schedule {
    /// Returns the next work for `slots`, given by ascending index; `None` if no slot can do
    /// anything.
    pub(super) fn next(&mut self, slots: &[(SlotId, Need)]) -> Option<NextWork> {
        let rows: Vec<_> = slots.iter().filter(|(_, need)| *need == Need::Frame).map(|(id, _)| *id).collect();
        let prompt = prompt(slots, self.prompts_from).or_else(|| prompt(slots, 0));
        match prompt {
            Some(id) if rows.is_empty() || !self.fed => {
                self.fed = true;
                self.prompts_from = id.index + 1;
                Some(NextWork::Prompt(id))
            }
            _ if rows.is_empty() => None,
            _ => {
                self.fed = false;
                Some(NextWork::Step(rows))
            }
        }
    }
}

fn prompt(slots: &[(SlotId, Need)], from: usize) -> Option<SlotId> {
    slots.iter().find(|(id, need)| *need == Need::Prompt && id.index >= from).map(|(id, _)| *id)
}
