//! Loudness of a mono clip by ITU-R BS.1770-4, in LUFS.

use std::f64::consts::PI;

use csm_shared::audio::SAMPLE_RATE;

use super::attacks::Biquad;

/// Samples of a block: 400 ms. Each block begins 100 ms after the one before.
const BLOCK: usize = SAMPLE_RATE as usize * 2 / 5;
const STEP: usize = BLOCK / 4;
/// Loudness in LUFS below which a block is silence.
const ABSOLUTE_GATE: f64 = -70.0;
/// Loudness below which a block is a pause, relative to the mean of the other blocks.
const RELATIVE_GATE: f64 = -10.0;

/// Computes the loudness, or `None` if the clip is silent or shorter than a block.
pub(crate) fn lufs(clip: &[f32]) -> Option<f64> {
    let (mut shelf, mut high_pass) = weighting();
    let squares: Vec<f64> = clip.iter().map(|&sample| f64::from(high_pass.pass(shelf.pass(sample))).powi(2)).collect();
    let blocks = squares.windows(BLOCK).step_by(STEP).map(|block| block.iter().sum::<f64>() / BLOCK as f64);
    let blocks: Vec<f64> = blocks.filter(|&power| level(power) > ABSOLUTE_GATE).collect();
    let gate = level(mean(&blocks)?) + RELATIVE_GATE;
    let heard: Vec<f64> = blocks.into_iter().filter(|&power| level(power) > gate).collect();
    mean(&heard).map(level)
}

fn level(power: f64) -> f64 {
    -0.691 + 10.0 * power.max(f64::MIN_POSITIVE).log10()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the two filters of the K weighting. The standard prints them for 48 kHz; here their
/// analogue forms are taken to 24 kHz.
fn weighting() -> (Biquad, Biquad) {
    let tangent = |hertz: f64| (PI * hertz / f64::from(SAMPLE_RATE)).tan();
    let (k, q) = (tangent(1_681.974_450_955_533), 0.707_175_236_955_419_6);
    let (high, band) =
        (10f64.powf(3.999_843_853_973_347 / 20.0), 10f64.powf(3.999_843_853_973_347 * 0.499_666_774_155 / 20.0));
    let shelf = Biquad::new(
        [high + band * k / q + k * k, 2.0 * (k * k - high), high - band * k / q + k * k],
        [1.0 + k / q + k * k, 2.0 * (k * k - 1.0), 1.0 - k / q + k * k],
    );
    let (k, q) = (tangent(38.135_470_876_024_44), 0.500_327_037_323_877_3);
    let scale = 1.0 + k / q + k * k;
    // The standard's numerator is 1, -2, 1, and is not divided as the denominator is.
    let high_pass = Biquad::new([scale, -2.0 * scale, scale], [scale, 2.0 * (k * k - 1.0), 1.0 - k / q + k * k]);
    (shelf, high_pass)
}
