//! Level of finished audio, for the log.

use csm_shared::audio::SAMPLE_RATE;

/// Level that stands for silence, in decibels below full scale.
const SILENCE_DB: f64 = -120.0;

/// Logs the duration of the audio, its peak and its root mean square in decibels below full scale.
pub(super) fn log(samples: &[i16]) {
    let level = |value: f64| (20.0 * (value / 32_768.0).log10()).max(SILENCE_DB);
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let rms = (energy / samples.len().max(1) as f64).sqrt();
    let duration_ms = samples.len() as u64 * 1_000 / u64::from(SAMPLE_RATE);
    let (peak_db, rms_db) = (level(peak.into()), level(rms));
    tracing::info!(duration_ms, peak_db = tenths(peak_db), rms_db = tenths(rms_db), "made audio");
}

/// Rounds to one decimal.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
