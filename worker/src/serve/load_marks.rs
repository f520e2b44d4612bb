//! Preparation of the marks that a worker's policy asks for, before any claim: weights are fetched,
//! loaded, and proven by a self-test.

use std::time::Duration;

use csm_shared::process::admin::Readiness;
use tokio::sync::watch;

use crate::marks::{ChosenPolicy, MarkError, Marker, Policy, WatermarkKey};

/// Pause after the first failed download of weights; it doubles up to [`PAUSE_MOST`].
const PAUSE_LEAST: Duration = Duration::from_secs(2);
/// Longest pause between two tries.
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// Completes the marker as its policy asks. Weights from a hub are retried until they load;
/// meanwhile the probes show why the worker is not ready. A folder does not change, so unusable
/// weights in a folder end the worker.
///
/// # Errors
/// [`MarkError`]: no speech may be generated.
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

/// Tries once to fetch and load the weights.
async fn load(marker: &Marker, key: &WatermarkKey, chosen: &ChosenPolicy) -> Result<Marker, MarkError> {
    let folder = chosen.weights().await?;
    let (marker, key, policy) = (marker.clone(), key.clone(), chosen.policy);
    let loading = tokio::task::spawn_blocking(move || marker.with_silentcipher(&key, policy, &folder));
    loading.await.unwrap_or_else(|died| Err(MarkError::Died(died.to_string())))
}
