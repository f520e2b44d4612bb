//! Check of a request against the model's window: the tokenizer counts the prompt's positions.

use std::path::Path;

use csm_shared::job::limits::WINDOW_STATUS;
use csm_shared::job::{Invalid, JobSpec, Reason};
use csm_shared::models::ModelKind;
use csm_shared::prompt::{PromptError, PromptTokenizer, SpeechPlan, Window, max_positions};

/// Tokenizer and window of the model that the workers run.
pub(crate) struct WindowCheck {
    tokenizer: PromptTokenizer,
    max_positions: usize,
    model_kind: ModelKind,
}

impl WindowCheck {
    /// Reads `tokenizer.json` and `config.json` of a model folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, PromptError> {
        let (tokenizer, max_positions) = (PromptTokenizer::from_folder(folder)?, max_positions(folder)?);
        Ok(Self { tokenizer, max_positions, model_kind: ModelKind::of(folder) })
    }

    /// Returns the positions of the model's window.
    pub(crate) const fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// Returns the kind of the model.
    pub(crate) const fn model_kind(&self) -> ModelKind {
        self.model_kind
    }

    /// Refuses a job if the context, the words and the longest speech of one sentence exceed the
    /// window.
    ///
    /// The refusal names the field to shorten: `context_segments` if the text alone fits, otherwise
    /// `max_audio_length_ms` (one sentence) or `text` (several).
    pub(crate) fn check(&self, spec: &JobSpec) -> Result<(), Invalid> {
        let own_speakers = self.model_kind.has_own_speakers();
        let prompted = if own_speakers { spec.clone().without_voices() } else { spec.clone() };
        let plan = SpeechPlan::new(&self.tokenizer, &prompted);
        let text = || spec.text.as_str();
        let plan = plan.map_err(|_| Invalid::malformed("text", text(), "text that the model's tokenizer takes"))?;
        let window = plan.window(self.max_positions);
        if window.check().is_ok() {
            return Ok(());
        }
        let Window { prompt_positions, max_frames, limit } = window;
        let alone = Window { prompt_positions: prompt_positions - plan.context_positions, ..window };
        let field = match alone.check() {
            Ok(()) => "context_segments",
            Err(_) if plan.sentences.len() == 1 => "max_audio_length_ms",
            Err(_) => "text",
        };
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
}
