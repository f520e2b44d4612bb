//! Positions of the backbone's input, and the positions of a segment.

use csm_shared::audio::Frame;

use super::{CsmConfig, END_FRAME, ModelError};

/// Position of the backbone's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// A text id: one embedding row.
    Text(u32),
    /// A frame of codes: the sum of 32 embedding rows. [`END_FRAME`] ends the audio of a segment.
    Audio(Frame),
}

impl Position {
    /// Checks that the model has the ids. `index` names the position in the error.
    pub(super) fn check(&self, index: usize, config: &CsmConfig) -> Result<(), ModelError> {
        let (kind, id, limit) = match self {
            Self::Text(id) => ("text", *id, config.text_vocab),
            Self::Audio(frame) => ("audio", frame.iter().copied().max().unwrap_or(0), config.codebook_size),
        };
        if (id as usize) < limit { Ok(()) } else { Err(ModelError::IdOutOfRange { position: index, kind, id, limit }) }
    }
}

/// Returns the positions of one segment: its text and, for a context segment, its recording and the
/// end frame.
#[must_use]
pub fn segment(text_ids: &[u32], recording: Option<&[Frame]>) -> Vec<Position> {
    let mut positions: Vec<_> = text_ids.iter().map(|&id| Position::Text(id)).collect();
    if let Some(frames) = recording {
        positions.extend(frames.iter().map(|&frame| Position::Audio(frame)));
        positions.push(Position::Audio(END_FRAME));
    }
    positions
}
