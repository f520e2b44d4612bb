//! Remarks on models that do not speak like CSM-1B.

use std::path::Path;

use csm_shared::models::ModelKind;

/// Remark on random weights, and on every result that they made.
pub(crate) const NOISE_ONLY: &str = "random weights: it hisses, it does not speak";
/// Remark on the embedded checkpoint.
pub(crate) const TOY_VOICE: &str = "a toy voice of a few million weights, not CSM-1B";

/// Returns the remark on the model in a folder, if it needs one.
pub(crate) fn remark_on(folder: &Path) -> Option<&'static str> {
    match ModelKind::of(folder) {
        ModelKind::Noise => Some(NOISE_ONLY),
        ModelKind::Toy => Some(TOY_VOICE),
        ModelKind::Real => None,
    }
}
