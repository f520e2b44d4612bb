//! The model's window: the positions that a prompt takes, and the check that the speech still fits
//! behind it.

use std::path::Path;

use serde::Deserialize;

use super::{CONFIG_FILE, PromptError};

/// Positions of a model whose config does not name them (the original release): its backbone is
/// built for 2048.
const ORIGINAL_MAX_POSITIONS: usize = 2048;

/// Size of one segment in the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSize {
    /// Number of token ids of the text, control tokens included.
    pub text_ids: usize,
    /// Frames of the recording; `None` for the segment to be spoken.
    pub audio_frames: Option<usize>,
}

impl SegmentSize {
    /// Makes the size of a context segment.
    #[must_use]
    pub const fn context(text_ids: usize, frames: usize) -> Self {
        Self { text_ids, audio_frames: Some(frames) }
    }

    /// Returns the positions of the segment: its text, its frames, and one frame that ends the
    /// recording.
    #[must_use]
    pub fn positions(self) -> usize {
        self.text_ids + self.audio_frames.map_or(0, |frames| frames + 1)
    }
}

/// Positions that one utterance needs, and the limit of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions that the prompt takes.
    pub prompt_positions: usize,
    /// Frames that the speech may take, one position each.
    pub max_frames: usize,
    /// Positions that the model has.
    pub limit: usize,
}

impl Window {
    /// Returns the positions that `segments` take together, including the segment to be spoken.
    #[must_use]
    pub fn positions(segments: &[SegmentSize]) -> usize {
        segments.iter().map(|segment| segment.positions()).sum()
    }

    /// Checks that prompt and speech fit.
    ///
    /// # Errors
    /// [`PromptError::Window`] with all three numbers.
    pub fn check(self) -> Result<(), PromptError> {
        let Self { prompt_positions, max_frames, limit } = self;
        if prompt_positions.saturating_add(max_frames) <= limit {
            Ok(())
        } else {
            Err(PromptError::Window { prompt_positions, max_frames, limit })
        }
    }
}

/// Reads the number of positions of the model in `folder`: `max_position_embeddings` of its
/// `config.json`. The original release has no such key and 2048 positions.
///
/// # Errors
/// If the file cannot be read, is not JSON, or the key is not a positive number.
pub fn max_positions(folder: &Path) -> Result<usize, PromptError> {
    #[derive(Deserialize)]
    struct Config {
        max_position_embeddings: Option<std::num::NonZeroU32>,
    }
    let path = folder.join(CONFIG_FILE);
    let file_error = |reason: String| PromptError::File { path: path.clone(), reason };
    let text = std::fs::read(&path).map_err(|error| file_error(error.to_string()))?;
    let config: Config = serde_json::from_slice(&text).map_err(|error| file_error(error.to_string()))?;
    Ok(config.max_position_embeddings.map_or(ORIGINAL_MAX_POSITIONS, |positions| positions.get() as usize))
}
