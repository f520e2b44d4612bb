//! The model: whether its files are here, and if not, whether they can be downloaded.

use std::path::PathBuf;

use csm_engine::random_model;
use csm_shared::models::{self, HubError, HubOptions, ModelFiles, ModelSource};
use secrecy::ExposeSecret as _;

use super::CheckResult;

const CHECK: &str = "model";
/// Owner of the published weights that need permission.
const GATED_OWNER: &str = "sesame";

pub(super) async fn present(source: &ModelSource, hub: &HubOptions) -> CheckResult {
    if *source == ModelSource::Tiny {
        return CheckResult::ok(CHECK, "tiny is made on the spot; it hisses, it does not speak");
    }
    let offline = HubOptions { offline: true, ..hub.clone() };
    let found = models::resolve(source, ModelFiles::Everything, &offline).await;
    match (found, source) {
        (Ok(folder), _) if random_model::is_noise(&folder.path) => CheckResult::warning(
            CHECK,
            format!("{source} holds random weights: it hisses, it does not speak"),
            "For speech: --model unsloth/csm-1b, or a folder that holds the weights",
        ),
        (Ok(folder), _) => CheckResult::ok(CHECK, format!("{source} is at {}", folder.path.display())),
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
            CheckResult::problem(CHECK, error.to_string(), "Give --model a hub id, a model's folder, or tiny")
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
