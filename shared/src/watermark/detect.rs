//! Detector of the mark: whether a clip carries the mark of one of several keys, and in which
//! parts. The clip may have been cut anywhere.
//!
//! In each frame, a bin's level is compared with its neighbours' levels. A difference that recurs
//! at the same place of every chip (a steady tone, a loop of one codec frame) is subtracted. The
//! rest is clipped, and all periods are folded on top of each other. The sum is then correlated
//! with the key's chips, for each place at which the pattern may begin.
//!
//! The correlation is computed for the whole clip and for windows of 2.56 s, 5.12 s and so on. Each
//! window begins half a window after the one before. Windows find a marked part of a long
//! recording, and several utterances, each of which begins its own pattern.
//!
//! # How sure it is
//! The chips are independent fair signs, and each sum is divided by its own norm. For *any* audio
//! made without the key, one correlation exceeds `c` with a chance of at most `exp(-c * c / 2)`
//! over keys (Hoeffding). For the greatest correlation over the 128 places at which the pattern may
//! begin, the bound is 128 times that. No model of speech enters the bound.
//!
//! Half of the chance of an error belongs to the whole clip, and the windows share the other half.
//! Keys and speeds share alike. A window is therefore one of `n` tests, and its score is
//! `z = sqrt(c * c - 2 ln n)`. The same threshold then holds for all clips and rings of keys. The
//! chance that unmarked audio of any length exceeds `z` anywhere is at most
//! `128 * exp(-z * z / 2)`, the p-value. At [`DETECTED_ABOVE`] this is 2 in a million clips.

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

/// Score above which the verdict is "detected".
pub const DETECTED_ABOVE: f32 = 6.0;
/// Score above which, up to [`DETECTED_ABOVE`], the verdict is "inconclusive".
pub const INCONCLUSIVE_ABOVE: f32 = 5.0;
/// Shortest clip that can get the verdict "not detected", in seconds.
pub const MIN_SECONDS: f32 = 1.0;
/// Least audio that must fill the marked band for the verdict "not detected", in seconds. A clip of
/// pauses holds less.
pub const MIN_FILLED_SECONDS: f32 = 0.5;
/// Longest part of a clip that is examined, in seconds. A longer clip never gets "not detected".
pub const MAX_SECONDS: u32 = 600;
/// Most keys of one detector: the current key and earlier ones.
pub const MAX_KEYS: usize = 8;

/// Verdict with its score and key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The verdict.
    pub verdict: Verdict,
    /// Score: the greatest correlation, in standard deviations of unmarked audio, less a penalty
    /// for the number of windows and keys that were tried.
    pub z: f32,
    /// Key that was found; if none was found, the current key.
    pub key_id: WatermarkKeyId,
}

/// Detector for the marks of a ring of keys.
pub struct Detector {
    /// Pattern of each key, the current one first: 1 to [`MAX_KEYS`].
    chips: Vec<Chips>,
    ids: Vec<WatermarkKeyId>,
}

impl Detector {
    /// Builds a detector for the mark of `key`.
    #[must_use]
    pub fn new(key: &WatermarkKey) -> Self {
        Self { chips: vec![key.chips()], ids: vec![key.id()] }
    }

    /// Builds a detector for the marks of all `keys`: the current key, then earlier ones whose
    /// marks must still be found. A key that occurs twice counts once. The pattern is drawn from
    /// the key, so the mark itself tells which key made it.
    ///
    /// # Errors
    /// [`WatermarkError::Keys`] if there is no key, or more than [`MAX_KEYS`].
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

    /// Judges a clip (24 kHz, full scale 1). At most the first [`MAX_SECONDS`] are examined. Takes
    /// about 2 ms for each second of audio (3 to 4 ms with [`MAX_KEYS`]), and 8 MB of memory at
    /// most.
    #[must_use]
    pub fn detect(&self, samples: &[f32]) -> Detection {
        let found = self.judge(samples, &[1.0]);
        Detection { verdict: found.verdict, z: found.z, key_id: self.ids[found.key] }
    }

    /// Judges a clip as [`Detector::detect`] does, and adds the parts of the clip in which the mark
    /// was found. A part is made of the shortest windows that detect the mark on their own. As a
    /// rule each end lies within 2 s of the true one. The error is larger if the mark is so damaged
    /// that only long windows detect it. A clip of up to 2.56 s is one part.
    #[must_use]
    pub fn examine(&self, samples: &[f32]) -> Finding {
        self.finding(self.judge(samples, &[1.0]))
    }

    /// Judges a clip as [`Detector::examine`] does, but also tries speeds up to 2 % too fast or too
    /// slow. Takes ten times as long and a copy of the clip. All speeds share the chance of an
    /// error.
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

/// Result of a search; `key` is an index into the ring.
struct Judgement {
    verdict: Verdict,
    z: f32,
    key: usize,
    regions: Vec<Region>,
}

/// Maps regions of the clip at `speed` to the recording before the change of speed.
fn played_at(speed: f64, regions: Vec<Region>) -> Vec<Region> {
    let place = |ms: u64| (ms as f64 * speed).round() as u64;
    regions.into_iter().map(|part| Region { start_ms: place(part.start_ms), end_ms: place(part.end_ms) }).collect()
}

/// Bounds the chance of a score this high anywhere in audio that was made without the keys.
pub(super) fn p_value(z: f32) -> f64 {
    (HYPOTHESES as f64 * (-0.5 * f64::from(z).powi(2)).exp()).min(1.0)
}

impl Scan {
    /// Returns the greatest score of a key if `beside` pairs of key and speed are tried, this one
    /// included.
    pub(super) fn strongest(&self, key: usize, beside: usize) -> f32 {
        self.scores_of(key, beside).fold(0.0, f32::max)
    }

    /// Returns the parts of a clip of `samples` samples in which the key's mark was found.
    fn regions(&self, key: usize, beside: usize, samples: usize) -> Vec<Region> {
        let scored = self.windows.iter().copied().zip(self.scores_of(key, beside));
        let speaking: Vec<_> = scored.filter(|&(_, z)| z > DETECTED_ABOVE).map(|(window, _)| window).collect();
        scan::regions(&speaking, samples)
    }

    /// Returns the score of each window with a key, as the head of this file defines it.
    fn scores_of(&self, key: usize, beside: usize) -> impl Iterator<Item = f32> {
        let others = self.windows.len() - 1;
        let halves = if others > 0 { 2 } else { 1 };
        self.scores.iter().enumerate().map(move |(window, scores)| {
            let looks = halves * beside * if window == 0 { 1 } else { others };
            (scores[key].powi(2) - 2.0 * (looks as f32).ln()).max(0.0).sqrt()
        })
    }
}
