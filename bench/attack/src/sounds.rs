//! Sounds other than speech, for the null: noise, tones, clicks, silence, music.

use std::f32::consts::TAU;

use super::attack_rng::AttackRng;
use super::corpus::samples_of;

const RATE: f32 = 24_000.0;
/// Number that keeps the draws of the sounds apart from others.
const PURPOSE: u32 = 4;
/// Semitones of the chords: major, minor, fourths, a cluster.
const CHORDS: [[i32; 3]; 4] = [[0, 4, 7], [0, 3, 7], [0, 5, 10], [0, 1, 2]];

type Make = fn(&mut AttackRng, usize) -> Vec<f32>;

/// Every kind of sound, by name.
pub(crate) const SOUNDS: [(&str, Make); 13] = [
    ("silence", |_, samples| vec![0.0; samples]),
    ("DC", |draw, samples| vec![draw.between(-0.9, 0.9); samples]),
    ("white noise", |draw, samples| {
        let level = 10f32.powf(draw.between(-4.5, -0.7));
        (0..samples).map(|_| level * draw.normal()).collect()
    }),
    ("brown noise", brown),
    ("noise in bursts", bursts),
    ("one frame of noise in a loop", |draw, samples| {
        let frame: Vec<_> = (0..1_920).map(|_| 0.1 * draw.normal()).collect();
        frame.into_iter().cycle().take(samples).collect()
    }),
    ("a loop of one period of the pattern", |draw, samples| {
        let period: Vec<_> = (0..16 * 480).map(|_| 0.1 * draw.normal()).collect();
        period.into_iter().cycle().take(samples).collect()
    }),
    ("sine", |draw, samples| {
        let hertz = draw.between(60.0, 5_000.0);
        (0..samples).map(|n| 0.3 * sine(hertz, n)).collect()
    }),
    ("organ", |draw, samples| {
        let hertz = draw.between(50.0, 400.0);
        (0..samples).map(|n| 0.2 * (1..30).map(|h| sine(hertz * h as f32, n) / h as f32).sum::<f32>()).collect()
    }),
    ("sweep", |draw, samples| {
        let (from, to) = (draw.between(50.0, 500.0), draw.between(1_000.0, 8_000.0));
        let mut phase = 0.0;
        let step = |n: usize| {
            phase = (phase + (from + (to - from) * n as f32 / samples as f32) / RATE) % 1.0;
            0.3 * (TAU * phase).sin()
        };
        (0..samples).map(step).collect()
    }),
    ("regular clicks", |draw, samples| {
        let every = 40 + draw.below(4_000);
        (0..samples).map(|n| if n.is_multiple_of(every) { 0.8 } else { 0.0 }).collect()
    }),
    ("irregular clicks", |draw, samples| {
        let rate = draw.between(0.0005, 0.02);
        (0..samples).map(|_| if draw.unit() < rate { draw.between(-0.9, 0.9) } else { 0.0 }).collect()
    }),
    ("music", music),
];

/// Makes the sound of a number, which also selects its kind.
pub(crate) fn sound(number: usize, seconds: f32) -> Vec<f32> {
    let (_, make) = SOUNDS[number % SOUNDS.len()];
    make(&mut AttackRng::new(PURPOSE, number), samples_of(seconds))
}

fn sine(hertz: f32, n: usize) -> f32 {
    (TAU * (f64::from(hertz) * n as f64 / f64::from(RATE)).fract() as f32).sin()
}

fn brown(draw: &mut AttackRng, samples: usize) -> Vec<f32> {
    let (mut low, keep) = (0.0, draw.between(0.8, 0.99));
    let step = |_| {
        low = keep * low + (1.0 - keep) * draw.normal();
        0.5 * low
    };
    (0..samples).map(step).collect()
}

fn bursts(draw: &mut AttackRng, samples: usize) -> Vec<f32> {
    let (mut out, mut loud) = (Vec::with_capacity(samples), false);
    while out.len() < samples {
        loud = !loud;
        let level = if loud { draw.between(0.01, 0.3) } else { 0.0 };
        let length = samples_of(draw.between(0.05, 0.3)).min(samples - out.len());
        out.extend((0..length).map(|_| level * draw.normal()));
    }
    out
}

/// Makes chords of plucked strings in a steady metre, a bass, and a drum on every beat.
fn music(draw: &mut AttackRng, samples: usize) -> Vec<f32> {
    let beat = samples_of(60.0 / draw.between(70.0, 160.0));
    let root = draw.between(110.0, 220.0);
    let mut out = vec![0.0; samples];
    let mut begin = 0;
    while begin < samples {
        let (chord, step) = (*draw.pick(&CHORDS), draw.below(12) as f32 - 6.0);
        let end = (begin + beat).min(samples);
        let pitch = |semitones: i32| root * 2f32.powf((semitones as f32 + step) / 12.0);
        let notes = [pitch(chord[0]), pitch(chord[1]), pitch(chord[2]), pitch(chord[0] - 12)];
        for (n, sample) in out.iter_mut().enumerate().take(end).skip(begin) {
            let along = (n - begin) as f32 / RATE;
            let tone = |&hertz: &f32| (1..8).map(|h| sine(hertz * h as f32, n) / (h * h) as f32).sum::<f32>();
            let drum = draw.normal() * (-40.0 * along).exp();
            *sample = 0.1 * notes.iter().map(tone).sum::<f32>() * (-3.0 * along).exp() + 0.05 * drum;
        }
        begin = end;
    }
    out
}
