//! Embedder of the mark. In overlapping frames, each bin of the band becomes a little louder or
//! softer, as its chip says.
//!
//! Frames of 40 ms overlap by half. A root-Hann window applies before and after the change of gain,
//! so a stream with all gains at one comes out unchanged. The grid of frames starts with the stream
//! and does not depend on how the samples are handed in. Any chunking gives the same output, bit
//! for bit.

use std::f32::consts::{LN_10, PI};
use std::sync::Arc;

use crate::audio::to_i16;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::BuiltinMarked;
use super::watermark_key::{self, BINS, Chips, FIRST_BIN, PERIOD};

/// Samples of one frame: 40 ms, which gives bins of 25 Hz.
pub(super) const FRAME: usize = 960;
/// Samples from one frame to the next: 20 ms, a quarter of the codec's frame.
pub(super) const HOP: usize = FRAME / 2;
/// Strength of a chip: the gain by which it raises or lowers its bin, give or take the 0.2 dB that
/// keep the loudness.
const DEPTH_DB: f32 = 1.5;
/// Power that chips of `depth` add to a steady sound, as a share of `depth * depth`. Two
/// overlapping frames of equal gain (5 pairs of 8) add all of it, two of opposite gain half of it.
const POWER_SHARE: f32 = (5.0 + 3.0 / 2.0) / 8.0;

/// Transforms and tables that all streams of one [`Watermark`] share.
pub(super) struct EmbedPlan {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// Root-Hann window: its squares at distance `HOP` add up to one.
    window: Vec<f32>,
    /// Gains by hop of the period, (PERIOD, BINS).
    gains: Vec<[f32; BINS]>,
}

impl EmbedPlan {
    pub(super) fn new(chips: &Chips) -> Self {
        let mut planner = RealFftPlanner::new();
        // The gains 10^(+d/20) and 10^(-d/20), divided by their mean, are 1 + depth and 1 - depth.
        // `keep` cancels their effect on the power of a steady sound, which stays as loud as it
        // was.
        let depth = (DEPTH_DB * LN_10 / 20.0).tanh();
        let keep = (1.0 + POWER_SHARE * depth * depth).sqrt().recip();
        let gains = (0..PERIOD).map(|hop| {
            let (row, sign) = watermark_key::chip_at(hop);
            chips.row(row).map(|chip| keep * (1.0 + sign * chip * depth))
        });
        Self {
            forward: planner.plan_fft_forward(FRAME),
            inverse: planner.plan_fft_inverse(FRAME),
            window: (0..FRAME).map(|n| (PI * n as f32 / FRAME as f32).sin()).collect(),
            gains: gains.collect(),
        }
    }
}

/// Stream that marks one utterance. The output is late by up to 40 ms. [`MarkStream::finish`] hands
/// out the rest; then exactly as many samples have come out as went in.
pub struct MarkStream {
    plan: Arc<EmbedPlan>,
    /// Input of the next frame: the last whole hop, then the samples since.
    input: Vec<f32>,
    /// The second half of the last frame, to be added to the first half of the next, (HOP).
    tail: Vec<f32>,
    /// Frames made so far.
    frames: usize,
    /// Samples taken in so far.
    taken: usize,
    /// Samples handed out so far.
    given: usize,
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl MarkStream {
    pub(super) fn new(plan: Arc<EmbedPlan>) -> Self {
        let scratch = plan.forward.get_scratch_len().max(plan.inverse.get_scratch_len());
        Self {
            input: vec![0.0; HOP],
            tail: vec![0.0; HOP],
            frames: 0,
            taken: 0,
            given: 0,
            frame: plan.forward.make_input_vec(),
            spectrum: plan.forward.make_output_vec(),
            scratch: vec![Complex::default(); scratch],
            plan,
        }
    }

    /// Marks the next samples (24 kHz, full scale 1). Returns the samples that are ready, rounded
    /// to 16 bit and clamped at full scale. A sample that is no finite number counts as 0.
    pub fn push(&mut self, pcm: &[f32]) -> BuiltinMarked {
        let mut out = Vec::with_capacity(pcm.len() + HOP);
        self.take(pcm, &mut out);
        self.taken += pcm.len();
        self.given += out.len();
        BuiltinMarked { samples: out }
    }

    /// Ends the utterance and returns the rest of it.
    #[must_use]
    pub fn finish(mut self) -> BuiltinMarked {
        let mut out = Vec::with_capacity(FRAME);
        // A frame of silence completes the last whole hop and the hop begun after it.
        self.take(&[0.0; FRAME], &mut out);
        out.truncate(self.taken - self.given);
        BuiltinMarked { samples: out }
    }

    fn take(&mut self, pcm: &[f32], out: &mut Vec<i16>) {
        let mut rest = pcm;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(FRAME - self.input.len()));
            self.input.extend(now.iter().map(|&sample| if sample.is_finite() { sample } else { 0.0 }));
            rest = later;
            if self.input.len() == FRAME {
                self.mark_frame(out);
            }
        }
    }

    /// Marks the frame in `input` and appends the hop that it completes to `out`. The hop that the
    /// first frame completes lies before the stream and is dropped.
    fn mark_frame(&mut self, out: &mut Vec<i16>) {
        let plan = &self.plan;
        for ((sample, &input), weight) in self.frame.iter_mut().zip(&self.input).zip(&plan.window) {
            *sample = input * weight;
        }
        plan.forward
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers are the plan's own");
        for (value, gain) in self.spectrum[FIRST_BIN..].iter_mut().zip(&plan.gains[self.frames % PERIOD]) {
            *value *= *gain;
        }
        plan.inverse
            .process_with_scratch(&mut self.spectrum, &mut self.frame, &mut self.scratch)
            .expect("the buffers are the plan's own, and real gains keep both ends of the spectrum real");
        for (sample, weight) in self.frame.iter_mut().zip(&plan.window) {
            *sample *= weight / FRAME as f32;
        }
        let (complete, begun) = self.frame.split_at(HOP);
        if self.frames > 0 {
            out.extend(complete.iter().zip(&self.tail).map(|(new, old)| to_i16(new + old)));
        }
        self.tail.copy_from_slice(begun);
        self.input.drain(..HOP);
        self.frames += 1;
    }
}
