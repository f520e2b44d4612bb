//! Looks for SilentCipher's mark in the recordings that gateways ask about.

use csm_shared::detect_desk::DetectDesk;
use tokio_util::sync::CancellationToken;

use crate::watermark::silentcipher::{Known, SilentCipher};
use crate::watermark::{Finding, WatermarkKey};

/// Serves the desk until `stop`: one recording at a time, on a thread that may block. `detect` takes samples at 24 kHz,
/// full scale 1, and answers why it could not look.
pub(crate) async fn serve_detection(
    desk: DetectDesk,
    detect: impl Fn(&[f32]) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    stop: CancellationToken,
) {
    desk.serve(detect, stop).await;
}

/// Looks for the mark of any job under `key`.
pub(crate) fn silentcipher(
    cipher: SilentCipher,
    key: &WatermarkKey,
) -> impl Fn(&[f32]) -> Result<Vec<Finding>, String> + Send + Sync + 'static {
    let known = Known::key(key);
    move |samples| cipher.find(samples, &known).map(|finding| vec![finding]).map_err(|error| error.to_string())
}
