//! Rotary positions with Llama 3's frequency scaling, in the rotate-half form that all weights are
//! normalised to.

use super::{RopeConfig, TransformerConfig};

/// Returns the radians per position for each pair of a head.
///
/// Wavelengths above `original_max_positions / low_freq_factor` turn `factor` times slower.
/// Wavelengths below `original_max_positions / high_freq_factor` do not change. Between the two
/// limits the frequency is interpolated (Llama 3.1; transformers' `_compute_llama3_parameters`).
pub(super) fn inverse_frequencies(config: &RopeConfig, head_dim: usize) -> Vec<f32> {
    let frequency = |pair: usize| {
        let plain = config.theta.powf(-((2 * pair) as f64) / head_dim as f64);
        let Some(scaling) = &config.scaling else { return plain };
        let wavelength = 2.0 * std::f64::consts::PI / plain;
        let turns = scaling.original_max_positions / wavelength;
        let smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
        let smooth = smooth.clamp(0.0, 1.0);
        (1.0 - smooth) * plain / scaling.factor + smooth * plain
    };
    #[expect(clippy::cast_possible_truncation, reason = "the tables are f32, as the reference's")]
    (0..head_dim / 2).map(|pair| frequency(pair) as f32).collect()
}

/// Returns cosines and sines of positions `0..positions`, `(positions, head_dim / 2)` each.
pub(super) fn tables(config: &TransformerConfig, positions: usize) -> (Vec<f32>, Vec<f32>) {
    let frequencies = inverse_frequencies(&config.rope, config.head_dim);
    let angles = |turn: fn(f32) -> f32| {
        let frequencies = &frequencies;
        (0..positions).flat_map(|position| frequencies.iter().map(move |f| turn(position as f32 * f))).collect()
    };
    (angles(f32::cos), angles(f32::sin))
}
