//! Measures a request against the model's window, with the model's tokenizer and without the model.

use std::path::Path;

use csm_shared::job::limits::WINDOW_STATUS;
use csm_shared::job::{Invalid, JobSpec, Reason};
use csm_shared::prompt::{PromptError, PromptTokenizer, SegmentSize, Window, max_positions};

/// Tokenizer and window of the model that the workers run.
pub(crate) struct PromptMeter {
    tokenizer: PromptTokenizer,
    max_positions: usize,
}

impl PromptMeter {
    /// Reads `tokenizer.json` and `config.json` of a model folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, PromptError> {
        Ok(Self { tokenizer: PromptTokenizer::from_folder(folder)?, max_positions: max_positions(folder)? })
    }

    /// Refuses a job whose prompt and longest speech exceed the window together, with all numbers. The refusal names
    /// `text` when that alone is too long, else the context.
    pub(crate) fn check(&self, spec: &JobSpec) -> Result<(), Invalid> {
        let spoken = self.segment(spec.speaker.get(), spec.text.as_str(), None)?;
        let mut sizes = vec![spoken];
        for segment in spec.context.segments() {
            sizes.push(self.segment(segment.speaker.get(), segment.text.as_str(), Some(segment.clip.frames()))?);
        }
        let max_frames = spec.budget.frames() as usize;
        let measure = |sizes: &[SegmentSize]| Window {
            prompt_positions: Window::positions(sizes),
            max_frames,
            limit: self.max_positions,
        };
        let window = measure(&sizes);
        if window.check().is_ok() {
            return Ok(());
        }
        let field = if measure(&[spoken]).check().is_err() { "text" } else { "context_segments" };
        let Window { prompt_positions, max_frames, limit } = window;
        Err(Invalid {
            field: field.into(),
            value: format!(
                "{prompt_positions} prompt positions + {max_frames} frames (max_audio_length_ms) = {}",
                prompt_positions + max_frames
            ),
            limit: format!("{limit} positions"),
            reason: Reason::WindowExceeded,
            status: WINDOW_STATUS,
        })
    }

    fn segment(&self, speaker: u32, text: &str, audio_frames: Option<usize>) -> Result<SegmentSize, Invalid> {
        let ids = self.tokenizer.text_ids(speaker, text);
        let ids = ids.map_err(|_| Invalid::malformed("text", text, "text that the model's tokenizer takes"))?;
        Ok(SegmentSize { text_ids: ids.len(), audio_frames })
    }
}
