//! Short-time Fourier transform and its inverse, as streams: 4096 samples every 2048, periodic Hann
//! window.
//!
//! Frame `t` is centred at sample `2048 t`. The signal is mirrored before its first sample. Its end
//! is padded with zeros to a multiple of 4096, by a whole 4096 if it is one already, and mirrored.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Rows that carry the mark: up to 11 kHz.
pub(super) const BAND: usize = 1024;
/// Samples of a frame.
pub(super) const SIZE: usize = 4096;
/// Samples from one frame to the next.
pub(super) const HOP: usize = SIZE / 2;
/// Rows of a spectrum.
pub(super) const ROWS: usize = SIZE / 2 + 1;

/// Spectrum of one frame, (ROWS).
#[derive(Clone)]
pub(super) struct Spectrum(pub(super) Vec<Complex32>);

impl Spectrum {
    /// Returns the magnitudes of the lowest `rows` rows, times `gain`.
    pub(super) fn magnitudes(&self, rows: usize, gain: f32) -> Vec<f32> {
        self.0[..rows].iter().map(|bin| magnitude(*bin) * gain).collect()
    }

    /// Returns the sum of the squared magnitudes.
    pub(super) fn energy(&self) -> f64 {
        self.0.iter().map(|bin| f64::from(bin.norm_sqr())).sum()
    }

    /// Subtracts `info * rms` from the lowest magnitudes times `gain`, but not below zero, and
    /// divides by `gain` again. Phases stay.
    pub(super) fn subtract(&mut self, info: &[f32], gain: f32, rms: f32) {
        for (bin, info) in self.0.iter_mut().zip(info) {
            let before = magnitude(*bin) * gain;
            if before > 0.0 {
                *bin *= (before - info * rms).max(0.0) / before;
            }
        }
    }
}

fn magnitude(bin: Complex32) -> f32 {
    bin.norm_sqr().sqrt()
}

/// Forward transform: samples in, spectra out.
pub(super) struct Framer {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Arc<[f32]>,
    /// Samples that later frames need. Once the mirrored beginning is there, they start one sample
    /// before the next frame, because the mirror at the end reaches it.
    held: Vec<f32>,
    received: usize,
}

impl Framer {
    pub(super) fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(SIZE);
        Self { fft, window: window(), held: Vec::new(), received: 0 }
    }

    /// Returns the spectra that these samples complete.
    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<Spectrum> {
        let before = self.received;
        self.received += samples.len();
        self.held.extend_from_slice(samples);
        if self.received <= HOP {
            return Vec::new();
        }
        if before <= HOP {
            let mirrored: Vec<f32> = self.held[1..=HOP].iter().rev().copied().collect();
            self.held.splice(..0, std::iter::once(0.0).chain(mirrored));
        }
        self.frames()
    }

    /// Returns the last spectra.
    pub(super) fn finish(mut self) -> Vec<Spectrum> {
        let mut spectra = self.push(&vec![0.0; SIZE - self.received % SIZE]);
        let last = self.held.len() - 1;
        let mirrored: Vec<f32> = (1..=HOP).map(|back| self.held[last - back]).collect();
        self.held.extend(mirrored);
        spectra.extend(self.frames());
        spectra
    }

    fn frames(&mut self) -> Vec<Spectrum> {
        let mut spectra = Vec::new();
        let mut start = 1;
        while self.held.len() - start >= SIZE {
            spectra.push(self.spectrum(start));
            start += HOP;
        }
        self.held.drain(..start - 1);
        spectra
    }

    fn spectrum(&self, start: usize) -> Spectrum {
        let frame = &self.held[start..start + SIZE];
        let mut windowed: Vec<f32> =
            frame.iter().zip(self.window.iter()).map(|(sample, weight)| sample * weight).collect();
        let mut bins = vec![Complex32::default(); ROWS];
        self.fft.process(&mut windowed, &mut bins).expect("both buffers have the transform's own lengths");
        Spectrum(bins)
    }
}

/// Inverse transform: spectra in, samples out.
pub(super) struct Overlap {
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Arc<[f32]>,
    /// Second half of the last frame, windowed.
    tail: Option<Vec<f32>>,
}

impl Overlap {
    pub(super) fn new() -> Self {
        Self { inverse: RealFftPlanner::new().plan_fft_inverse(SIZE), window: window(), tail: None }
    }

    /// Returns the samples between the last frame's centre and this one's; none for the first
    /// frame.
    pub(super) fn push(&mut self, spectrum: &Spectrum) -> Vec<f32> {
        let mut bins = spectrum.0.clone();
        bins[0].im = 0.0;
        bins[ROWS - 1].im = 0.0;
        let mut frame = vec![0.0; SIZE];
        self.inverse.process(&mut bins, &mut frame).expect("both buffers have the transform's own lengths");
        for (sample, weight) in frame.iter_mut().zip(self.window.iter()) {
            *sample *= weight / SIZE as f32;
        }
        let tail = self.tail.replace(frame.split_off(HOP));
        let Some(tail) = tail else { return Vec::new() };
        let weights = self.window.iter().zip(&self.window[HOP..]).map(|(rise, fall)| rise * rise + fall * fall);
        frame.iter().zip(&tail).zip(weights).map(|((rise, fall), weight)| (rise + fall) / weight).collect()
    }
}

/// Transforms a whole clip into `1 + 2 (samples / 4096 + 1)` spectra, with an integer quotient.
pub(super) fn transform(samples: &[f32]) -> Vec<Spectrum> {
    let mut framer = Framer::new();
    let mut spectra = framer.push(samples);
    spectra.append(&mut framer.finish());
    spectra
}

/// Returns the first `samples` samples of these spectra.
pub(super) fn inverse(spectra: &[Spectrum], samples: usize) -> Vec<f32> {
    let mut overlap = Overlap::new();
    let mut out: Vec<f32> = spectra.iter().flat_map(|spectrum| overlap.push(spectrum)).collect();
    out.truncate(samples);
    out
}

fn window() -> Arc<[f32]> {
    (0..SIZE).map(|at| (0.5 - 0.5 * (2.0 * PI * at as f64 / SIZE as f64).cos()) as f32).collect()
}
