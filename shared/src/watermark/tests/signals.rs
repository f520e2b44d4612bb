//! Test signals: a synthetic voice, hiss, bursts, loops and tones, each from a seed.

use std::f32::consts::TAU;

use crate::audio::{Clip, to_f32, to_i16};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

const RATE: f32 = 24_000.0;

pub(super) fn samples_of(seconds: f32) -> usize {
    (seconds * RATE) as usize
}

/// Random draws from [0, 1).
struct UniformDraws(ChaCha8Rng);

impl UniformDraws {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Draws a number of variance one, near enough to normal.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

/// Makes white noise of the given RMS.
pub(super) fn hiss(seed: u64, seconds: f32, rms: f32) -> Vec<f32> {
    let mut draw = UniformDraws::new(seed);
    (0..samples_of(seconds)).map(|_| rms * draw.normal()).collect()
}

/// Makes noise with most of its power below 1 kHz, in bursts of 50 to 300 ms and pauses as long.
/// `rms` is the level within the bursts.
pub(super) fn bursts(seed: u64, seconds: f32, rms: f32) -> Vec<f32> {
    let mut draw = UniformDraws::new(seed);
    let (mut out, mut low, mut loud) = (Vec::new(), 0.0, false);
    while out.len() < samples_of(seconds) {
        loud = !loud;
        for _ in 0..samples_of(draw.between(0.05, 0.3)) {
            low = 0.77 * low + draw.normal() * 0.64; // one pole at 1 kHz, of gain one to the noise's power
            out.push(if loud { rms * low } else { 0.0 });
        }
    }
    out.truncate(samples_of(seconds));
    out
}

/// Repeats one codec frame of noise over and over.
pub(super) fn looped(seed: u64, seconds: f32, rms: f32) -> Vec<f32> {
    let frame = hiss(seed, 0.08, rms);
    frame.iter().copied().cycle().take(samples_of(seconds)).collect()
}

/// Makes a harmonic tone that never changes.
pub(super) fn organ(seconds: f32, hertz: f32, partials: usize) -> Vec<f32> {
    let partial = |n: usize, h: usize| (TAU * (hertz * h as f32 * n as f32 / RATE).fract()).sin() / h as f32;
    (0..samples_of(seconds)).map(|n| 0.2 * (1..=partials).map(|h| partial(n, h)).sum::<f32>()).collect()
}

/// Makes a voice of peak 0.5, from syllables of 120 to 250 ms. Each syllable is a pulse train of
/// gliding pitch through three resonances of its own, opened by a breath of noise. About every
/// fifth syllable is a pause.
pub(super) fn voice(seed: u64, seconds: f32) -> Vec<f32> {
    let mut draw = UniformDraws::new(seed);
    let base = draw.between(90.0, 230.0);
    let mut out = Vec::new();
    while out.len() < samples_of(seconds) {
        let length = samples_of(draw.between(0.12, 0.25));
        if draw.unit() < 0.2 {
            out.resize(out.len() + length, 0.0);
        } else {
            syllable(&mut draw, base, length, &mut out);
        }
    }
    out.truncate(samples_of(seconds));
    let peak = out.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    out.iter().map(|sample| 0.5 * sample / peak).collect()
}

fn syllable(draw: &mut UniformDraws, base: f32, length: usize, out: &mut Vec<f32>) {
    let (from, to) = (base * draw.between(0.85, 1.2), base * draw.between(0.85, 1.2));
    let mut formants = [
        VoiceResonance::new(draw.between(300.0, 800.0), 80.0),
        VoiceResonance::new(draw.between(900.0, 2_300.0), 120.0),
        VoiceResonance::new(draw.between(2_400.0, 3_600.0), 200.0),
    ];
    let breath = length / 4;
    let (mut phase, mut previous) = (0.0f32, 0.0);
    for n in 0..length {
        let along = n as f32 / length as f32;
        phase += (from + (to - from) * along) / RATE;
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase = phase.fract();
        let noise = draw.normal() * if n < breath { 0.1 } else { 0.01 };
        let voiced: f32 = formants.iter_mut().map(|formant| formant.pass(pulse + noise)).sum();
        let envelope = (std::f32::consts::PI * along).sin();
        out.push(envelope * (voiced - 0.6 * previous));
        previous = voiced;
    }
}

/// Two-pole resonance.
struct VoiceResonance {
    feedback: [f32; 2],
    state: [f32; 2],
}

impl VoiceResonance {
    fn new(hertz: f32, width: f32) -> Self {
        let radius = (-std::f32::consts::PI * width / RATE).exp();
        Self { feedback: [2.0 * radius * (TAU * hertz / RATE).cos(), -radius * radius], state: [0.0; 2] }
    }

    fn pass(&mut self, input: f32) -> f32 {
        let output = input + self.feedback[0] * self.state[0] + self.feedback[1] * self.state[1];
        self.state = [output, self.state[0]];
        output
    }
}

/// Amplifies the clip and rounds it to 16 bit again.
pub(super) fn amplified(clip: &[f32], decibels: f32) -> Vec<f32> {
    let gain = 10f32.powf(decibels / 20.0);
    rounded(clip.iter().map(|sample| sample * gain))
}

/// Adds white noise at this many dB below the clip.
pub(super) fn with_noise(clip: &[f32], seed: u64, decibels: f32) -> Vec<f32> {
    let level = super::rms(clip) * 10f32.powf(-decibels / 20.0);
    let noise = hiss(seed, clip.len() as f32 / RATE + 0.01, level);
    rounded(clip.iter().zip(noise).map(|(sample, noise)| sample + noise))
}

/// Resamples the clip to a lower rate and back.
pub(super) fn round_trip(clip: &[f32], rate: u32) -> Vec<f32> {
    // The WAV reader always resamples to 24 kHz: a header of 24 kHz * 24 kHz / rate makes it go
    // down to `rate`.
    let down = read_as(clip, 24_000 * 24_000 / rate);
    read_as(&down, rate)
}

/// Plays the clip at `speed` times its speed, by linear interpolation.
pub(super) fn resampled(clip: &[f32], speed: f64) -> Vec<f32> {
    let value = |n: usize| {
        let place = n as f64 * speed;
        let (at, part) = (place as usize, place.fract() as f32);
        clip[at] + part * (clip.get(at + 1).unwrap_or(&0.0) - clip[at])
    };
    rounded((0..(clip.len() as f64 / speed) as usize).map(value))
}

fn read_as(clip: &[f32], rate: u32) -> Vec<f32> {
    let mut wav = Clip::from_samples(clip.iter().map(|&sample| to_i16(sample)).collect()).to_wav();
    wav[24..28].copy_from_slice(&rate.to_le_bytes());
    wav[28..32].copy_from_slice(&(2 * rate).to_le_bytes());
    Clip::from_wav(&wav).unwrap().to_f32()
}

fn rounded(samples: impl Iterator<Item = f32>) -> Vec<f32> {
    samples.map(|sample| to_f32(to_i16(sample))).collect()
}
