//! Whose turn it is: one step of every slot that can make a frame, or one piece of one slot's prompt. Between two steps
//! there is one piece at most, so a running utterance waits for one piece at most, however long the prompts are and
//! however many. Prompts take turns.

use super::slots::SlotId;

/// What a slot could do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Be fed a piece of its prompt, or of what it said before.
    Prompt,
    /// Make a frame.
    Frame,
    /// Nothing until its reader takes a frame, or its recordings are encoded.
    Nothing,
}

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextWork {
    /// Feed this slot one piece.
    Prompt(SlotId),
    /// Make one frame for each of these slots.
    Step(Vec<SlotId>),
}

/// What came last.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// A piece of a prompt was fed since the last step.
    fed: bool,
    /// The index at which the search for the next prompt begins.
    prompts_from: usize,
}

impl Schedule {
    /// The next turn among `slots`, given by ascending index; `None` when no slot can do anything.
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
