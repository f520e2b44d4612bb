//! From samples to sums by place in the period: levels, how far each stands out, and what is folded of it.

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::audio::SAMPLE_RATE;
use crate::watermark::embed::{FRAME, HOP};
use crate::watermark::watermark_key::{BINS, CHIP_HOPS, FIRST_BIN, PERIOD};

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

/// Sums by hop of the period and bin.
pub(super) type Period = [[f32; BINS]; PERIOD];

/// Levels in dB of the marked bins and one neighbour on either side.
type Levels = [f32; BINS + 2];

/// Whole frames in so many samples.
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

    /// How far each level of each whole frame stands out.
    pub(super) fn residuals(&self, samples: &[f32]) -> Residuals {
        Residuals::new(&self.levels(samples))
    }

    /// The levels of each whole frame, (hops, BINS + 2).
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

/// How far each level stands out from its neighbours in the same frame.
pub(super) struct Residuals {
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

    /// Seconds that the usable levels would fill if they filled the whole band.
    pub(super) fn filled_seconds(&self) -> f32 {
        let usable = self.values.iter().flatten().flatten().count();
        usable as f32 / BINS as f32 * HOP as f32 / SAMPLE_RATE as f32
    }

    /// The periods of each `hops` hops, a multiple of [`PERIOD`], on top of each other; the last ones may be fewer.
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

    /// What a bin shows at each repetition of one place in the chip. The chips change from one repetition to the next,
    /// so this is the audio's and not the mark's. A mean that chance would explain shrinks to zero.
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

/// The level below which [`LOUD_QUANTILE`] of all levels lie; of no levels, silence.
fn loud(levels: &[Levels]) -> f32 {
    let mut all: Vec<f32> = levels.iter().flatten().copied().collect();
    let Some(last) = all.len().checked_sub(1) else { return f32::NEG_INFINITY };
    let place = ((all.len() as f32 * LOUD_QUANTILE) as usize).min(last);
    *all.select_nth_unstable_by(place, f32::total_cmp).1
}
