//! The detector: is this key's mark in a clip, wherever the clip was cut?
//!
//! In each frame, a bin's level is compared with its neighbours'. What always comes back at that place (a steady tone, a
//! loop of one codec frame) is taken off, the rest is clipped, and all periods are folded on top of each other. The sum is
//! then correlated with the key's chips, for each place at which the pattern may begin; the greatest correlation is `z`.
//!
//! The chips are independent fair signs and each sum is divided by its own norm. So for *any* audio that was made without
//! the key, one correlation exceeds `z` with a chance of at most `exp(-z * z / 2)` over the keys (Hoeffding), and the
//! greatest of [`HYPOTHESES`] with at most that times 128: 2e-6 at [`DETECTED_ABOVE`]. No model of speech enters this.

use std::f32::consts::PI;
use std::sync::Arc;

use csm_shared::audio::SAMPLE_RATE;
use realfft::{RealFftPlanner, RealToComplex};

use super::embed::{FRAME, HOP};
use super::key::{self, BINS, CHIP_HOPS, Chips, FIRST_BIN, KeyId, PERIOD, ROWS, WatermarkKey};

/// The mark is there when `z` is greater.
pub const DETECTED_ABOVE: f32 = 6.0;
/// Nothing is said when `z` is greater than this, but not than [`DETECTED_ABOVE`].
pub const INCONCLUSIVE_ABOVE: f32 = 5.0;
/// Shorter clips are too short for a "no".
pub const MIN_SECONDS: f32 = 1.0;
/// A "no" needs so many seconds of audio that fills the marked band; a clip of pauses holds less.
pub const MIN_FILLED_SECONDS: f32 = 0.5;

/// Samples between two trial grids; half of it, out of a frame, is the greatest error.
const GRID_STEP: usize = 60;
/// Places at which the pattern may begin: trial grids times hops of the period.
pub(super) const HYPOTHESES: usize = HOP / GRID_STEP * PERIOD;
/// The share of all levels that lies below the one taken as loud.
const LOUD_QUANTILE: f32 = 0.99;
/// Levels that lie further below the loud one are left out.
const RANGE_DB: f32 = 60.0;
/// The level of 16-bit rounding in one bin of one frame; what lies below carries no mark.
const ROUNDING_DB: f32 = -74.0;
/// How far one level can pull: a little more than the mark's own 1.5 dB.
const CLIP_DB: f32 = 2.0;
/// How many times its own error, squared, the mean of a place must be before it counts as steady.
const STEADY_FACTOR: f32 = 6.0;
/// The least repetitions from which something counts as steady.
const STEADY_REPEATS: usize = 3;
/// The least hops worth folding.
const MIN_HOPS: usize = 2 * CHIP_HOPS;

/// What a detector says about a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The key's mark is in the clip.
    Detected,
    /// Too short, too quiet, or too near the threshold to tell.
    Inconclusive,
    /// The key's mark was not found. This does NOT mean that a human made the clip.
    NotDetected,
}

/// A verdict with its grounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The verdict.
    pub verdict: Verdict,
    /// The greatest correlation, in standard deviations of unmarked audio.
    pub z: f32,
    /// The key that was looked for.
    pub key_id: KeyId,
}

/// Looks for one key's mark.
pub struct Detector {
    chips: Chips,
    key_id: KeyId,
}

impl Detector {
    /// A detector for the mark of `key`.
    #[must_use]
    pub fn new(key: &WatermarkKey) -> Self {
        Self { chips: key.chips(), key_id: key.id() }
    }

    /// Judges a clip: 24 kHz, full scale 1, any length. Takes about 50 ms for 10 s of audio.
    #[must_use]
    pub fn detect(&self, samples: &[f32]) -> Detection {
        let evidence = Evidence::gather(samples);
        let z = evidence.strongest(&self.chips);
        let seconds = samples.len() as f32 / SAMPLE_RATE as f32;
        let verdict = if z > DETECTED_ABOVE {
            Verdict::Detected
        } else if z > INCONCLUSIVE_ABOVE || seconds < MIN_SECONDS || evidence.filled_seconds < MIN_FILLED_SECONDS {
            Verdict::Inconclusive
        } else {
            Verdict::NotDetected
        };
        Detection { verdict, z, key_id: self.key_id }
    }
}

/// Sums by chip of the period and bin.
type Folded = [[f32; BINS]; ROWS];

/// What a clip says about every key: its folded levels under each hypothesis, of norm one.
pub(super) struct Evidence {
    folded: Vec<Folded>,
    /// Seconds that the usable levels would fill if they filled the whole band.
    pub(super) filled_seconds: f32,
}

impl Evidence {
    pub(super) fn gather(samples: &[f32]) -> Self {
        let mut analyser = Analyser::new();
        let mut evidence = Self { folded: Vec::with_capacity(HYPOTHESES), filled_seconds: 0.0 };
        for offset in (0..HOP).step_by(GRID_STEP) {
            let levels = analyser.levels(samples.get(offset..).unwrap_or(&[]));
            if levels.len() < MIN_HOPS {
                continue;
            }
            let residuals = Residuals::new(&levels);
            if offset == 0 {
                evidence.filled_seconds = residuals.filled_seconds();
            }
            let period = residuals.fold();
            evidence.folded.extend((0..PERIOD).filter_map(|start| align(&period, start)));
        }
        evidence
    }

    /// The greatest correlation with a key's chips; 0 where there is nothing to correlate.
    pub(super) fn strongest(&self, chips: &Chips) -> f32 {
        let correlation = |folded: &Folded| -> f32 { (0..ROWS).map(|row| dot(&folded[row], chips.row(row))).sum() };
        self.folded.iter().map(correlation).fold(0.0, f32::max)
    }
}

/// One period's sums by chip, if the period begins `start` hops before the pattern's; none when all of them are zero.
fn align(period: &[[f32; BINS]; PERIOD], start: usize) -> Option<Folded> {
    let mut folded = [[0.0; BINS]; ROWS];
    for (hop, sums) in period.iter().enumerate() {
        let (row, sign) = key::chip_at(hop + start);
        for (total, sum) in folded[row].iter_mut().zip(sums) {
            *total += sign * sum;
        }
    }
    let norm = folded.iter().map(|row| dot(row, row)).sum::<f32>().sqrt();
    (norm > 0.0).then(|| folded.map(|row| row.map(|sum| sum / norm)))
}

fn dot(a: &[f32; BINS], b: &[f32; BINS]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Levels in dB of the marked bins and one neighbour on either side.
type Levels = [f32; BINS + 2];

/// The transform from samples to levels.
struct Analyser {
    forward: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
}

impl Analyser {
    fn new() -> Self {
        Self {
            forward: RealFftPlanner::new().plan_fft_forward(FRAME),
            window: (0..FRAME).map(|n| (PI * n as f32 / FRAME as f32).sin()).collect(),
        }
    }

    /// The levels of each whole frame, (hops, BINS + 2).
    fn levels(&mut self, samples: &[f32]) -> Vec<Levels> {
        let mut frame = self.forward.make_input_vec();
        let mut spectrum = self.forward.make_output_vec();
        let mut scratch = self.forward.make_scratch_vec();
        let level = |samples: &[f32]| {
            for ((value, sample), weight) in frame.iter_mut().zip(samples).zip(&self.window) {
                *value = sample * weight;
            }
            self.forward
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .expect("the buffers are the plan's own");
            // The smallest positive power keeps the level of silence finite.
            std::array::from_fn(|bin| 10.0 * spectrum[FIRST_BIN - 1 + bin].norm_sqr().max(f32::MIN_POSITIVE).log10())
        };
        samples.windows(FRAME).step_by(HOP).map(level).collect()
    }
}

/// How far each level stands out from its neighbours in the same frame.
struct Residuals {
    /// By hop and bin; none where the level is too low to carry a mark.
    values: Vec<[Option<f32>; BINS]>,
}

impl Residuals {
    fn new(levels: &[Levels]) -> Self {
        let floor = (loud(levels) - RANGE_DB).max(ROUNDING_DB);
        let residual = |frame: &Levels| {
            let held = frame.map(|level| level.max(floor));
            std::array::from_fn(|bin| {
                let mean = (held[bin] + held[bin + 1] + held[bin + 2]) / 3.0;
                (frame[bin + 1] > floor).then_some(held[bin + 1] - mean)
            })
        };
        Self { values: levels.iter().map(residual).collect() }
    }

    fn filled_seconds(&self) -> f32 {
        let usable = self.values.iter().flatten().flatten().count();
        usable as f32 / BINS as f32 * HOP as f32 / SAMPLE_RATE as f32
    }

    /// All periods on top of each other, from the first hop on.
    fn fold(&self) -> [[f32; BINS]; PERIOD] {
        let steady: [[f32; BINS]; CHIP_HOPS] =
            std::array::from_fn(|place| std::array::from_fn(|bin| self.steady(place, bin)));
        let mut period = [[0.0; BINS]; PERIOD];
        for (hop, values) in self.values.iter().enumerate() {
            let sums = period[hop % PERIOD].iter_mut();
            for ((sum, value), steady) in sums.zip(values).zip(&steady[hop % CHIP_HOPS]) {
                *sum += value.map_or(0.0, |value| (value - steady).clamp(-CLIP_DB, CLIP_DB));
            }
        }
        period
    }

    /// What a bin shows at each repetition of one place in the chip. The chips change from one repetition to the next, so
    /// this is the audio's and not the mark's. A mean that chance would explain shrinks to zero.
    fn steady(&self, place: usize, bin: usize) -> f32 {
        let repeats = || self.values.iter().skip(place).step_by(CHIP_HOPS).filter_map(|values| values[bin]);
        let count = repeats().count();
        if count < STEADY_REPEATS {
            return 0.0;
        }
        let mean = repeats().sum::<f32>() / count as f32;
        let variance = repeats().map(|value| (value - mean).powi(2)).sum::<f32>() / (count - 1) as f32;
        let chance = STEADY_FACTOR * variance / count as f32;
        mean * (1.0 - chance / (mean * mean).max(f32::MIN_POSITIVE)).max(0.0)
    }
}

/// The level below which [`LOUD_QUANTILE`] of all levels lie.
fn loud(levels: &[Levels]) -> f32 {
    let mut all: Vec<f32> = levels.iter().flatten().copied().collect();
    let place = ((all.len() as f32 * LOUD_QUANTILE) as usize).min(all.len() - 1);
    *all.select_nth_unstable_by(place, f32::total_cmp).1
}
