//! Origin of a job's codes, by which a later attempt knows whether it would make the same.

use csm_engine::engine::ModelInfo;
use csm_queue::live::Origin;
use csm_shared::prompt::SpeechPlan;

use crate::IDENTITY;

/// Returns the origin of a job's codes: a digest of all that decides them beside the job itself.
/// Its parts are the identity of the build, the engine, and the plan of the text.
pub(super) fn origin(info: &ModelInfo, plan: &SpeechPlan) -> Origin {
    let plan = format!("{plan:?}");
    Origin::of(&[IDENTITY, &info.weights_sha256, &info.dtype, &info.kernels, &plan])
}
