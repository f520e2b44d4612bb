//! The detector: is one of these keys' mark in a clip, wherever the clip was cut, and where?
//!
//! In each frame, a bin's level is compared with its neighbours'. What always comes back at that place (a steady tone,
//! a loop of one codec frame) is taken off, the rest is clipped, and all periods are folded on top of each other. The
//! sum is then correlated with the key's chips, for each place at which the pattern may begin. That is done for the
//! whole clip and for windows of 2.56 s, 5.12 s and so on, each half its length after the one before, so that a marked
//! part of a long recording is found, and several utterances, each with a pattern that begins with it.
//!
//! # How sure it is
//! The chips are independent fair signs and each sum is divided by its own norm. So for *any* audio that was made
//! without the key, one correlation exceeds `c` with a chance of at most `exp(-c * c / 2)` over the keys (Hoeffding),
//! and the greatest of the 128 places at which the pattern may begin with at most that times 128. No model of speech
//! enters this.
//!
//! Half of the chance belongs to the whole clip, the windows share the other half, and keys and speeds share alike. A
//! window is therefore one of `n` looks, and its score is `z = sqrt(c * c - 2 ln n)`: one threshold holds for all clips
//! and rings of keys, and the chance that unmarked audio, however long, exceeds it anywhere is at most `128 * exp(-z *
//! z / 2)`, the p-value. At [`DETECTED_ABOVE`] that is 2 in a million clips.

mod levels;
mod scan;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod theft;

use crate::audio::SAMPLE_RATE;

pub(super) use self::scan::{HYPOTHESES, Scan};
use super::speed::{SPEEDS, at_speed};
use super::watermark_key::{Chips, WatermarkKey, WatermarkKeyId};
use super::{Finding, Region, Scheme, Verdict, WatermarkError};

/// The mark is there when `z` is greater.
pub const DETECTED_ABOVE: f32 = 6.0;
/// Nothing is said when `z` is greater than this, but not than [`DETECTED_ABOVE`].
pub const INCONCLUSIVE_ABOVE: f32 = 5.0;
/// Shorter clips are too short for a "no".
pub const MIN_SECONDS: f32 = 1.0;
/// A "no" needs so many seconds of audio that fills the marked band; a clip of pauses holds less.
pub const MIN_FILLED_SECONDS: f32 = 0.5;
/// The most seconds of a clip that are looked at. What lies behind them gets no "no".
pub const MAX_SECONDS: u32 = 600;
/// The most keys of one detector: the current one and older ones.
pub const MAX_KEYS: usize = 8;

/// A verdict with its grounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The verdict.
    pub verdict: Verdict,
    /// The score: the greatest correlation, in standard deviations of unmarked audio, less what the number of windows
    /// and keys that were looked at costs.
    pub z: f32,
    /// The key that was found, or else the current one.
    pub key_id: WatermarkKeyId,
}

/// Looks for the marks of a ring of keys.
pub struct Detector {
    /// By key, the current one first: never none, at most [`MAX_KEYS`].
    chips: Vec<Chips>,
    ids: Vec<WatermarkKeyId>,
}

impl Detector {
    /// A detector for the mark of `key`.
    #[must_use]
    pub fn new(key: &WatermarkKey) -> Self {
        Self { chips: vec![key.chips()], ids: vec![key.id()] }
    }

    /// A detector for the marks of all `keys`: the current one, then those of before whose marks are still to be found.
    /// A key that comes twice counts once. The pattern is drawn from the key, so the mark itself says which it is.
    ///
    /// # Errors
    /// [`WatermarkError::Keys`] when there is none, or more than [`MAX_KEYS`].
    pub fn with_keys(keys: &[WatermarkKey]) -> Result<Self, WatermarkError> {
        let mut ring = Self { chips: Vec::new(), ids: Vec::new() };
        for key in keys.iter().take(MAX_KEYS) {
            if !ring.ids.contains(&key.id()) {
                ring.chips.push(key.chips());
                ring.ids.push(key.id());
            }
        }
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(WatermarkError::Keys { keys: keys.len() });
        }
        Ok(ring)
    }

    /// Judges a clip: 24 kHz, full scale 1, any length, of which [`MAX_SECONDS`] are looked at. Takes about 2 ms for
    /// each second of audio (3 to 4 with [`MAX_KEYS`]), and 8 MB at most.
    #[must_use]
    pub fn detect(&self, samples: &[f32]) -> Detection {
        let found = self.judge(samples, &[1.0]);
        Detection { verdict: found.verdict, z: found.z, key_id: self.ids[found.key] }
    }

    /// [`Detector::detect`] as a finding, with the parts of the clip that were found marked. A part's ends are those of
    /// the windows that speak on their own: as a rule each lies within 2 s of the true one, and further out where the
    /// mark is so damaged that only long windows speak. A clip of up to 2.56 s is one part.
    #[must_use]
    pub fn examine(&self, samples: &[f32]) -> Finding {
        self.finding(self.judge(samples, &[1.0]))
    }

    /// [`Detector::examine`] for a clip that may have been played up to 2 % too fast or too slow. Takes ten times as
    /// long and a copy of the clip, and all speeds share the chance of an error.
    #[must_use]
    pub fn examine_thoroughly(&self, samples: &[f32]) -> Finding {
        self.finding(self.judge(samples, &SPEEDS))
    }

    fn finding(&self, found: Judgement) -> Finding {
        Finding {
            scheme: Scheme::Builtin,
            verdict: found.verdict,
            p_value: p_value(found.z),
            score: found.z.into(),
            key_id: self.ids[found.key].to_string(),
            regions: found.regions,
        }
    }

    fn judge(&self, samples: &[f32], speeds: &[f64]) -> Judgement {
        let within = &samples[..samples.len().min((MAX_SECONDS * SAMPLE_RATE) as usize)];
        let seconds = within.len() as f32 / SAMPLE_RATE as f32;
        let beside = self.chips.len() * speeds.len();
        let mut best = Judgement { verdict: Verdict::NotDetected, z: 0.0, key: 0, regions: Vec::new() };
        let mut filled_seconds = 0.0f32;
        for &speed in speeds {
            let clip = at_speed(within, speed);
            let scan = Scan::new(&clip, &self.chips);
            filled_seconds = filled_seconds.max(scan.filled_seconds);
            for key in 0..self.chips.len() {
                let z = scan.strongest(key, beside);
                if z > best.z {
                    let regions = scan.regions(key, beside, clip.len());
                    best = Judgement { z, key, regions: played_at(speed, regions), ..best };
                }
            }
        }
        let heard_all = within.len() == samples.len() && seconds >= MIN_SECONDS && filled_seconds >= MIN_FILLED_SECONDS;
        best.verdict = match best.z {
            z if z > DETECTED_ABOVE => Verdict::Detected,
            z if z > INCONCLUSIVE_ABOVE || !heard_all => Verdict::Inconclusive,
            _ => Verdict::NotDetected,
        };
        if best.verdict != Verdict::Detected {
            best.key = 0;
        }
        best
    }
}

/// What was found, by place in the ring.
struct Judgement {
    verdict: Verdict,
    z: f32,
    key: usize,
    regions: Vec<Region>,
}

/// Where the parts of a clip lie in the recording that became the clip at `speed`.
fn played_at(speed: f64, regions: Vec<Region>) -> Vec<Region> {
    let place = |ms: u64| (ms as f64 * speed).round() as u64;
    regions.into_iter().map(|part| Region { start_ms: place(part.start_ms), end_ms: place(part.end_ms) }).collect()
}

/// The greatest chance of a score this high anywhere in audio that was made without the keys.
pub(super) fn p_value(z: f32) -> f64 {
    (HYPOTHESES as f64 * (-0.5 * f64::from(z).powi(2)).exp()).min(1.0)
}

impl Scan {
    /// The greatest score of a key where `beside` keys and speeds, it included, are looked at.
    pub(super) fn strongest(&self, key: usize, beside: usize) -> f32 {
        self.scores_of(key, beside).fold(0.0, f32::max)
    }

    /// The parts of a clip of so many samples in which a key's mark was found.
    fn regions(&self, key: usize, beside: usize, samples: usize) -> Vec<Region> {
        let scored = self.windows.iter().copied().zip(self.scores_of(key, beside));
        let speaking: Vec<_> = scored.filter(|&(_, z)| z > DETECTED_ABOVE).map(|(window, _)| window).collect();
        scan::regions(&speaking, samples)
    }

    /// The score of each window with a key: see the head of this file.
    fn scores_of(&self, key: usize, beside: usize) -> impl Iterator<Item = f32> {
        let others = self.windows.len() - 1;
        let halves = if others > 0 { 2 } else { 1 };
        self.scores.iter().enumerate().map(move |(window, scores)| {
            let looks = halves * beside * if window == 0 { 1 } else { others };
            (scores[key].powi(2) - 2.0 * (looks as f32).ln()).max(0.0).sqrt()
        })
    }
}
