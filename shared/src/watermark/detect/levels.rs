//! Steps from samples to sums by place in the period: levels, their residuals, and the folded
//! residuals.

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::audio::SAMPLE_RATE;
use crate::watermark::embed::{FRAME, HOP};
use crate::watermark::watermark_key::{BINS, CHIP_HOPS, FIRST_BIN, PERIOD};

/// Share of all levels that lies below the level taken as loud.
const LOUD_QUANTILE: f32 = 0.99;
/// Range below the loud level, in dB; lower levels are left out.
const RANGE_DB: f32 = 60.0;
/// Level of 16-bit rounding in one bin of one frame. Lower levels carry no mark.
const ROUNDING_DB: f32 = -74.0;
/// Limit of one residual: a little more than the mark's own 1.5 dB.
const CLIP_DB: f32 = 2.0;
/// Ratio of a place's squared mean to its squared standard error, above which the mean counts as
/// steady.
const STEADY_FACTOR: f32 = 6.0;
/// Least repetitions for a level to count as steady.
const STEADY_REPEATS: usize = 3;

/// Sums by hop of the period and bin.
pub(super) type Period = [[f32; BINS]; PERIOD];

/// Levels in dB of the marked bins and one neighbour on either side.
type Levels = [f32; BINS + 2];

/// Counts the whole frames in `samples` samples.
pub(super) fn hops_of(samples: usize) -> usize {
    if samples < FRAME { 0 } else { (samples - FRAME) / HOP + 1 }
}

/// The transform from samples to levels.
pub(super) struct Analyser {
    forward: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
}

impl Analyser {
    pub(super) fn new() -> Self {
        Self {
            forward: RealFftPlanner::new().plan_fft_forward(FRAME),
            window: (0..FRAME).map(|n| (PI * n as f32 / FRAME as f32).sin()).collect(),
        }
    }

    /// Computes the residuals of each whole frame.
    pub(super) fn residuals(&self, samples: &[f32]) -> Residuals {
        Residuals::new(&self.levels(samples))
    }

    /// Computes the levels of each whole frame, (hops, BINS + 2).
    fn levels(&self, samples: &[f32]) -> Vec<Levels> {
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

/// Residuals: the difference of each level from the mean of itself and its two neighbours in the
/// same frame.
pub(super) struct Residuals {
    /// Residuals by hop and bin; `None` if the level is too low to carry a mark.
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

    /// Returns the seconds that the usable levels would fill if they filled the whole band.
    pub(super) fn filled_seconds(&self) -> f32 {
        let usable = self.values.iter().flatten().flatten().count();
        usable as f32 / BINS as f32 * HOP as f32 / SAMPLE_RATE as f32
    }

    /// Folds each run of `hops` hops, a multiple of [`PERIOD`], into one period. The last run may
    /// be shorter.
    pub(super) fn fold(&self, hops: usize) -> impl Iterator<Item = Period> {
        let steady: [[f32; BINS]; CHIP_HOPS] =
            std::array::from_fn(|place| std::array::from_fn(|bin| self.steady(place, bin)));
        self.values.chunks(hops).map(move |values| {
            let mut period = [[0.0; BINS]; PERIOD];
            for (hop, values) in values.iter().enumerate() {
                let sums = period[hop % PERIOD].iter_mut();
                for ((sum, value), steady) in sums.zip(values).zip(&steady[hop % CHIP_HOPS]) {
                    *sum += value.map_or(0.0, |value| (value - steady).clamp(-CLIP_DB, CLIP_DB));
                }
            }
            period
        })
    }

    /// Returns the residual of a bin that recurs at one place of every chip. The chips change from
    /// one repetition to the next, so this residual comes from the audio and not from the mark. A
    /// mean that chance would explain shrinks to zero.
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

/// Returns the level below which [`LOUD_QUANTILE`] of all levels lie, or silence if there are no
/// levels.
fn loud(levels: &[Levels]) -> f32 {
    let mut all: Vec<f32> = levels.iter().flatten().copied().collect();
    let Some(last) = all.len().checked_sub(1) else { return f32::NEG_INFINITY };
    let place = ((all.len() as f32 * LOUD_QUANTILE) as usize).min(last);
    *all.select_nth_unstable_by(place, f32::total_cmp).1
}
