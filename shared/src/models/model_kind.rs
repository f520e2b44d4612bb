//! Kind of a model, as its folder says it.

use std::path::Path;

use serde::Serialize;

use super::layout::CONFIG;

/// Key of `config.json` that marks the toy voice. Other loaders ignore it.
const TOY_VOICE: &str = "toy_voice";
/// Key of `config.json` that marks random weights. Other loaders ignore it.
pub const NOISE_ONLY: &str = "noise_only";

/// Kind of a model. Whoever shows a model that is not real says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// CSM-1B, or a model of its size.
    Real,
    /// The toy voice: a few million weights, with two speakers of its own.
    Toy,
    /// Random weights, which hiss.
    Noise,
}

impl ModelKind {
    /// Reads the kind of the model in `folder`. A folder that says nothing counts as real.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let config = std::fs::read(folder.join(CONFIG)).ok();
        let config = config.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let says = |key: &str| config.as_ref().is_some_and(|config| config[key] == true);
        match (says(NOISE_ONLY), says(TOY_VOICE)) {
            (true, _) => Self::Noise,
            (false, true) => Self::Toy,
            (false, false) => Self::Real,
        }
    }

    /// Returns true if the model has learnt speakers of its own, so that voices need no prompts.
    #[must_use]
    pub const fn has_own_speakers(self) -> bool {
        matches!(self, Self::Toy)
    }
}
