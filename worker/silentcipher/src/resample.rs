//! torchaudio's resampler as a stream (`sinc_interp_hann`, filter width 6, roll-off 0.99).
//!
//! Rates are reduced by their common divisor to `from` and `to`. Each block of `from` samples gives
//! `to` new ones, each from a filter of its own over the block and `width` samples to either side.

use std::f32::consts::PI;

/// Zero crossings of the filter to either side.
const CROSSINGS: f32 = 6.0;
/// Cut-off, as a share of the lower rate's half.
const ROLL_OFF: f64 = 0.99;

/// Resampling stream between two rates. Its state is the samples that later filters still reach.
pub(super) struct Resampler {
    from: usize,
    to: usize,
    width: usize,
    /// Filter taps, (to, 2 width + from).
    filters: Vec<f32>,
    /// Samples from `width` before the next block on.
    held: Vec<f32>,
    received: usize,
    sent: usize,
}

impl Resampler {
    pub(super) fn new(from: usize, to: usize) -> Self {
        let divisor = common_divisor(from, to);
        let (from, to) = (from / divisor, to / divisor);
        let base = from.min(to) as f64 * ROLL_OFF;
        let width = (f64::from(CROSSINGS) * from as f64 / base).ceil() as usize;
        let filters = if from == to { Vec::new() } else { filters(from, to, width, base) };
        Self { from, to, width, filters, held: vec![0.0; width], received: 0, sent: 0 }
    }

    /// Takes the next samples and returns those that they complete.
    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.from == self.to {
            return samples.to_vec();
        }
        self.received += samples.len();
        self.held.extend_from_slice(samples);
        self.blocks()
    }

    /// Returns the last samples. In all, `received * to / from` samples come out, rounded up.
    pub(super) fn finish(mut self) -> Vec<f32> {
        if self.from == self.to {
            return Vec::new();
        }
        let missing = (self.received * self.to).div_ceil(self.from) - self.sent;
        self.held.resize(self.held.len() + self.width + self.from, 0.0);
        let mut last = self.blocks();
        last.truncate(missing);
        last
    }

    fn blocks(&mut self) -> Vec<f32> {
        let taps = 2 * self.width + self.from;
        let mut out = Vec::new();
        let mut start = 0;
        while self.held.len() - start >= taps {
            let reach = &self.held[start..start + taps];
            out.extend(self.filters.chunks_exact(taps).map(|filter| product(filter, reach)));
            start += self.from;
        }
        self.held.drain(..start);
        self.sent += out.len();
        out
    }
}

/// Resamples a whole clip.
pub(super) fn resample(clip: &[f32], from: usize, to: usize) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to);
    let mut out = resampler.push(clip);
    out.append(&mut resampler.finish());
    out
}

fn product(filter: &[f32], reach: &[f32]) -> f32 {
    filter.iter().zip(reach).map(|(tap, sample)| f64::from(tap * sample)).sum::<f64>() as f32
}

/// Computes the filters in torchaudio's own f32 steps.
fn filters(from: usize, to: usize, width: usize, base: f64) -> Vec<f32> {
    let scale = (base / from as f64) as f32;
    let taps = 2 * width + from;
    let tap = |at: usize| {
        let (phase, tap) = (at / taps, at % taps);
        let place = (tap as f32 - width as f32) / from as f32;
        let t = ((-(phase as f32) / to as f32 + place) * base as f32).clamp(-CROSSINGS, CROSSINGS);
        let window = (t * PI / CROSSINGS / 2.0).cos().powi(2);
        let angle = t * PI;
        let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
        sinc * (window * scale)
    };
    (0..to * taps).map(tap).collect()
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a.max(1) } else { common_divisor(b, a % b) }
}
