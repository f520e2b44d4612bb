//! The model: whether its files are here, and if not, whether they can be downloaded.

use std::path::PathBuf;

use csm_shared::models::{self, HubError, HubOptions, ModelFiles, ModelSource};
use secrecy::ExposeSecret as _;

use super::CheckResult;
use crate::model_remark::{NOISE_ONLY, TOY_VOICE, remark_on};

const CHECK: &str = "model";
/// Owner of the published weights that need permission.
const GATED_OWNER: &str = "sesame";

pub(super) async fn present(source: &ModelSource, hub: &HubOptions) -> CheckResult {
    match source {
        ModelSource::Tiny => return CheckResult::ok(CHECK, format!("tiny is part of this program ({TOY_VOICE})")),
        ModelSource::Noise => return CheckResult::ok(CHECK, format!("noise is made on the spot ({NOISE_ONLY})")),
        ModelSource::Hub(_) | ModelSource::Folder(_) => {}
    }
    let offline = HubOptions { offline: true, ..hub.clone() };
    let found = models::resolve(source, ModelFiles::Everything, &offline).await;
    match (found, source) {
        (Ok(folder), _) => match remark_on(&folder.path) {
            Some(remark) => CheckResult::warning(
                CHECK,
                format!("{source} holds no CSM-1B ({remark})"),
                "For CSM-1B: --model unsloth/csm-1b, or a folder that holds the weights",
            ),
            None => CheckResult::ok(CHECK, format!("{source} is at {}", folder.path.display())),
        },
        (Err(error @ HubError::NotCached { .. }), ModelSource::Hub(id)) => {
            if id.owner == GATED_OWNER && !has_token(hub) {
                let what = format!("{id} is not in the cache, and there is no token to fetch it with");
                let fetch = format!("Accept its licence at https://huggingface.co/{}, then set HF_TOKEN", id.repo());
                return CheckResult::problem(CHECK, what, fetch);
            }
            let what = if hub.offline { error.to_string() } else { format!("{id} is not in the cache") };
            CheckResult::warning(
                CHECK,
                what,
                "The first start downloads several GB, or falls back to `tiny` in `csm dev`",
            )
        }
        (Err(error), _) => {
            CheckResult::problem(CHECK, error.to_string(), "Give --model a hub id, a model's folder, tiny or noise")
        }
    }
}

/// Returns true if a token is given, or saved where `hf auth login` saves it.
fn has_token(hub: &HubOptions) -> bool {
    let given = hub.token.as_ref().is_some_and(|token| !token.expose_secret().is_empty());
    let home = std::env::var_os("HF_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface")));
    given || home.is_some_and(|home| home.join("token").is_file())
}
