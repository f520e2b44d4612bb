//! The watermark: the marks that files would carry, their key, and whether SilentCipher's weights
//! are here.

use csm_shared::models::{self, HubOptions, ModelSource};
use csm_worker::marks::{ChosenPolicy, MarkArgs, Policy, WatermarkKey};
use secrecy::{ExposeSecret as _, SecretString};

use super::CheckResult;

/// Checks the policy, the key and the weights, a line each.
pub(super) async fn check(marks: &MarkArgs, secret: Option<&SecretString>, hub: &HubOptions) -> [CheckResult; 3] {
    let chosen = marks.choose(hub).await;
    let weights = weights(&chosen).await;
    [policy(&chosen), key(secret), weights]
}

fn policy(chosen: &ChosenPolicy) -> CheckResult {
    CheckResult::ok("watermark", format!("files carry {}, because {}", marks(chosen.policy), chosen.why))
}

fn marks(policy: Policy) -> &'static str {
    match policy {
        Policy::Builtin => "the builtin mark",
        Policy::Silentcipher => "SilentCipher's mark, live audio the builtin one",
        Policy::Both => "both marks, live audio the builtin one",
    }
}

/// Checks the key of the mark.
pub(super) fn key(secret: Option<&SecretString>) -> CheckResult {
    const CHECK: &str = "mark's key";
    match secret.map(SecretString::expose_secret).filter(|secret| !secret.is_empty()) {
        Some(secret) => match WatermarkKey::parse(secret) {
            Ok(key) if key.id() == WatermarkKey::development().id() => development(CHECK),
            Ok(key) => CheckResult::ok(CHECK, format!("key {}", key.id())),
            Err(error) => {
                CheckResult::problem(CHECK, format!("CSM_WATERMARK_KEY: {error}"), "No worker starts with it")
            }
        },
        None => development(CHECK),
    }
}

fn development(check: &'static str) -> CheckResult {
    CheckResult::warning(
        check,
        format!(
            "the development key {}: it is published, so its mark proves nothing",
            WatermarkKey::development().id()
        ),
        "For real use set CSM_WATERMARK_KEY to a secret of 16 bytes or more; no worker takes this one unasked",
    )
}

/// Checks whether SilentCipher's weights are here, and what follows if not.
async fn weights(chosen: &ChosenPolicy) -> CheckResult {
    const CHECK: &str = "silentcipher";
    let here = HubOptions { offline: true, ..chosen.hub.clone() };
    let needed = chosen.policy != Policy::Builtin;
    match (models::silentcipher(&chosen.source, &here).await, &chosen.source) {
        (Ok(folder), ModelSource::Hub(id)) => {
            CheckResult::ok(CHECK, format!("{id} is in the cache at {}", folder.display()))
        }
        (Ok(folder), _) => CheckResult::ok(CHECK, format!("its weights are in {}", folder.display())),
        (Err(_), ModelSource::Hub(id)) if !needed => CheckResult::ok(
            CHECK,
            format!("{id} is not in the cache; --watermark both fetches it (12 MB, no licence stated by its makers)"),
        ),
        (Err(_), ModelSource::Hub(id)) if !chosen.hub.offline => CheckResult::warning(
            CHECK,
            format!("{id} is not in the cache"),
            "Workers fetch it (12 MB) when they start, and are not ready before",
        ),
        (Err(error), _) => CheckResult::problem(CHECK, error.to_string(), "Without its weights no worker gets ready"),
    }
}
