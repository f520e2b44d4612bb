//! Remarks on models that do not speak like CSM-1B.

use std::path::Path;

use csm_engine::random_model;

/// Remark on random weights, and on every result that they made.
pub(crate) const NOISE_ONLY: &str = "random weights: it hisses, it does not speak";
/// Remark on the embedded checkpoint.
pub(crate) const TOY_VOICE: &str = "a toy voice of a few million weights, not CSM-1B";

/// Returns the remark on the model in a folder, if it needs one.
pub(crate) fn remark_on(folder: &Path) -> Option<&'static str> {
    if random_model::is_noise(folder) { Some(NOISE_ONLY) } else { csm_tiny::is_toy_voice(folder).then_some(TOY_VOICE) }
}
