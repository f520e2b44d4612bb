//! The marks that a worker's policy asks for, before it takes any job: weights fetched, loaded, and proven by a self-test.

use std::time::Duration;

use csm_shared::process::admin::Readiness;
use tokio::sync::watch;

use crate::marks::{ChosenPolicy, MarkError, Marker, Policy, WatermarkKey};

/// Pause after the first try to get weights from the hub; it doubles up to [`PAUSE_MOST`].
const PAUSE_LEAST: Duration = Duration::from_secs(2);
/// Longest pause between two tries.
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// Gives the marker what its policy asks for. Weights that a hub is to have are tried for until they work; meanwhile the
/// probes say why the worker is not ready. A folder stays as it is, so what is wrong with one ends the worker.
///
/// # Errors
/// [`MarkError`]: nothing may be spoken.
pub(super) async fn complete(
    marker: Marker,
    key: &WatermarkKey,
    chosen: &ChosenPolicy,
    state: &watch::Sender<Readiness>,
) -> Result<Marker, MarkError> {
    if chosen.policy == Policy::Builtin {
        return Ok(marker);
    }
    state.send_replace(Readiness::Starting { phase: format!("getting SilentCipher's weights, {}", chosen.source) });
    let (mut pause, mut told) = (PAUSE_LEAST, String::new());
    loop {
        let error = match load(&marker, key, chosen).await {
            Err(error) if chosen.may_recover() => error,
            done => return done,
        };
        let reason = format!("watermark: {error}");
        if reason != told {
            tracing::error!(policy = %chosen.policy, error = %reason, "cannot load watermark weights, claiming no jobs");
            told.clone_from(&reason);
        }
        state.send_replace(Readiness::Degraded { reason });
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MOST);
    }
}

/// One try.
async fn load(marker: &Marker, key: &WatermarkKey, chosen: &ChosenPolicy) -> Result<Marker, MarkError> {
    let folder = chosen.weights().await?;
    let (marker, key, policy) = (marker.clone(), key.clone(), chosen.policy);
    let loading = tokio::task::spawn_blocking(move || marker.with_silentcipher(&key, policy, &folder));
    loading.await.unwrap_or_else(|died| Err(MarkError::Died(died.to_string())))
}
