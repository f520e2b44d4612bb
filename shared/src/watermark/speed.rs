//! Speed correction of a recording that was played a little too fast or too slow.

use std::borrow::Cow;

/// The speeds that a thorough search tries. Half a step shifts the highest marked bin by half a
/// bin.
pub(super) const SPEEDS: [f64; 9] = [1.0, 0.995, 1.005, 0.99, 1.01, 0.985, 1.015, 0.98, 1.02];

/// Plays the clip at `speed` times its speed. Each sample is the cubic through its four neighbours
/// (Catmull-Rom), good to -30 dB at the top of the marked band. The mark tolerates an error of that
/// size.
pub(super) fn at_speed(clip: &[f32], speed: f64) -> Cow<'_, [f32]> {
    if speed == 1.0 {
        return Cow::Borrowed(clip);
    }
    let sample = |at: usize| clip.get(at.saturating_sub(1)).copied().unwrap_or(0.0);
    let length = (clip.len() as f64 / speed) as usize;
    let value = |n: usize| {
        let place = n as f64 * speed;
        let (whole, t) = (place as usize, place.fract() as f32);
        // `sample` counts from one sample before the clip.
        let [a, b, c, d] = [sample(whole), sample(whole + 1), sample(whole + 2), sample(whole + 3)];
        b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
    };
    Cow::Owned((0..length).map(value).collect())
}
