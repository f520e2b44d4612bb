//! Round trips: decoders get the samples back from the files, and the mark is still in them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the measuring tests print what they measured")]

mod flac;
mod mp3;
mod opus;

use std::f32::consts::TAU;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::{encode, pcm};
use crate::marks::{Marked, Watermark, WatermarkKey};

/// Lengths at the edges: none, one sample, a block and a page of either coding, and next to them.
const LENGTHS: [usize; 12] = [0, 1, 15, 324, 325, 480, 4_095, 4_096, 4_097, 23_844, 24_000, 60_001];

fn watermark() -> Watermark {
    Watermark::new(&WatermarkKey::development())
}

fn mark(clip: &[f32]) -> Marked {
    let mut stream = watermark().stream();
    let mut marked = stream.push(clip);
    marked.append(stream.finish());
    marked.into()
}

/// Returns `samples` samples of marked speech.
fn speech(samples: usize) -> Marked {
    mark(&voice(1, samples))
}

/// Returns a synthetic voice from a seed: syllables of 120 to 250 ms and pauses, peak 0.5. A
/// syllable is pulses of gliding pitch through three resonances, with some breath.
fn voice(seed: u64, samples: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut between =
        move |low: f32, high: f32| low + (high - low) * ((random.next_u32() >> 8) as f32 / (1 << 24) as f32);
    let rate = SAMPLE_RATE as f32;
    let base = between(90.0, 230.0);
    let mut out = Vec::new();
    while out.len() < samples {
        let length = (rate * between(0.12, 0.25)) as usize;
        if between(0.0, 1.0) < 0.2 {
            out.resize(out.len() + length, 0.0);
            continue;
        }
        let (from, to) = (base * between(0.85, 1.2), base * between(0.85, 1.2));
        let ranges = [(300.0, 800.0, 80.0), (900.0, 2_300.0, 120.0), (2_400.0, 3_600.0, 200.0)];
        let mut formants = ranges.map(|(low, high, width)| FormantFilter::new(between(low, high), width));
        let (mut phase, mut previous) = (0.0f32, 0.0);
        for n in 0..length {
            let along = n as f32 / length as f32;
            phase += (from + (to - from) * along) / rate;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let breath = between(-1.7, 1.7) * if along < 0.25 { 0.1 } else { 0.01 };
            let voiced: f32 = formants.iter_mut().map(|formant| formant.pass(pulse + breath)).sum();
            out.push((TAU / 2.0 * along).sin() * (voiced - 0.6 * previous));
            previous = voiced;
        }
    }
    out.truncate(samples);
    let peak = out.iter().fold(f32::MIN_POSITIVE, |peak, sample| peak.max(sample.abs()));
    out.iter().map(|sample| 0.5 * sample / peak).collect()
}

/// Returns white noise, as a model of random weights makes it.
fn hiss(seed: u64, samples: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..samples).map(|_| 0.05 * (random.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0)).collect()
}

/// Two-pole resonance.
struct FormantFilter {
    feedback: [f32; 2],
    state: [f32; 2],
}

impl FormantFilter {
    fn new(hertz: f32, width: f32) -> Self {
        let rate = SAMPLE_RATE as f32;
        let radius = (-TAU / 2.0 * width / rate).exp();
        Self { feedback: [2.0 * radius * (TAU * hertz / rate).cos(), -radius * radius], state: [0.0; 2] }
    }

    fn pass(&mut self, input: f32) -> f32 {
        let output = input + self.feedback[0] * self.state[0] + self.feedback[1] * self.state[1];
        self.state = [output, self.state[0]];
        output
    }
}

/// Returns the position of a text in a file.
fn find(file: &[u8], text: &[u8]) -> Option<usize> {
    file.windows(text.len()).position(|window| window == text)
}

#[test]
fn bare_samples_are_the_samples() {
    for length in LENGTHS {
        let speech = speech(length);
        let file = encode(&speech, AudioFormat::Pcm).unwrap();
        assert_eq!(file, pcm(&speech));
        let samples: Vec<i16> = file.chunks(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect();
        assert_eq!(samples, speech.samples());
    }
}

#[test]
fn the_same_speech_gives_the_same_file() {
    let speech = speech(24_000);
    for format in AudioFormat::ALL.iter().copied() {
        assert_eq!(encode(&speech, format).unwrap(), encode(&speech, format).unwrap(), "{format}");
    }
}

#[test]
fn every_file_with_a_header_says_that_it_was_generated() {
    let speech = speech(480);
    for format in [AudioFormat::Wav, AudioFormat::Flac, AudioFormat::Opus] {
        let file = encode(&speech, format).unwrap();
        assert!(find(&file, b"csm-fleet").is_some(), "{format}");
        assert!(find(&file, b"AI-generated speech, inaudibly watermarked").is_some(), "{format}");
    }
}
