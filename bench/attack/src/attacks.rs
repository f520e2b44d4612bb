//! Attacks on one clip, with draws that the clip's own number seeds.

use std::f64::consts::{SQRT_2, TAU};

use anyhow::Context as _;
use csm_shared::audio::{Clip, SAMPLE_RATE, to_f32, to_i16};

use super::attack_rng::AttackRng;
use super::lossy_codec::LossyCodec;

/// Samples of one hop of the mark: no cut falls on its grid.
pub(crate) const HOP: usize = 480;
/// Greatest share of a clip that a crop removes from either end.
const CROP_SHARE: f32 = 0.1;
/// Samples of one lost packet: 20 ms.
const PACKET: usize = 480;
/// Packets lost, in a hundred.
const LOST_PERCENT: usize = 10;
/// Corner frequency of the high-pass filter.
const HIGH_PASS_HZ: f64 = 250.0;
/// Number that keeps the draws of the attacks apart from others.
const PURPOSE: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Rounding to 16 bit, as of every delivered sample.
    Rounding,
    /// Gain in dB, clamped at full scale.
    Gain(f32),
    /// Removal of up to [`CROP_SHARE`] at either end, never of whole hops.
    Crop,
    /// Resampling to another rate and back.
    Rate(u32),
    Coded(LossyCodec),
    /// White noise at this many dB below the clip's RMS.
    Noise(f32),
    /// Silence in [`LOST_PERCENT`] of all packets.
    Dropout,
    /// Playback at this many times the speed, which changes the pitch too.
    Speed(f32),
    Polarity,
    /// Second-order high-pass filter at [`HIGH_PASS_HZ`].
    HighPass,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether the mark must survive the attack.
    pub(crate) gated: bool,
    /// Whether the detector tries other speeds after the attack.
    pub(crate) any_speed: bool,
}

const fn gated(name: &'static str, kind: Kind) -> Attack {
    Attack { name, kind, gated: true, any_speed: false }
}

const fn other(name: &'static str, kind: Kind) -> Attack {
    Attack { name, kind, gated: false, any_speed: false }
}

const fn at_any_speed(name: &'static str, kind: Kind) -> Attack {
    Attack { name, kind, gated: false, any_speed: true }
}

pub(crate) const ATTACKS: [Attack; 22] = [
    gated("16 bit", Kind::Rounding),
    gated("gain -20 dB", Kind::Gain(-20.0)),
    gated("gain -12 dB", Kind::Gain(-12.0)),
    gated("gain +6 dB", Kind::Gain(6.0)),
    gated("crop, head and tail", Kind::Crop),
    gated("16 kHz and back", Kind::Rate(16_000)),
    other("8 kHz and back", Kind::Rate(8_000)),
    gated("MP3 128k", Kind::Coded(LossyCodec::Mp3(128))),
    gated("MP3 64k", Kind::Coded(LossyCodec::Mp3(64))),
    other("Vorbis q3", Kind::Coded(LossyCodec::Vorbis)),
    other("Opus 32k", Kind::Coded(LossyCodec::Opus(32))),
    other("Opus 24k", Kind::Coded(LossyCodec::Opus(24))),
    other("noise 40 dB below", Kind::Noise(40.0)),
    other("noise 30 dB below", Kind::Noise(30.0)),
    other("noise 20 dB below", Kind::Noise(20.0)),
    other("10 % dropout", Kind::Dropout),
    other("speed +1 %", Kind::Speed(1.01)),
    other("speed -1 %", Kind::Speed(0.99)),
    at_any_speed("speed +1 %, looked for", Kind::Speed(1.01)),
    at_any_speed("speed -1 %, looked for", Kind::Speed(0.99)),
    other("upside down", Kind::Polarity),
    other("high-pass 250 Hz", Kind::HighPass),
];

impl Attack {
    /// Attacks the clips. Returns them with the number of bytes of their coded form, 0 if there is
    /// none. `number` is that of the first clip.
    pub(crate) fn apply(&self, number: usize, clips: &[&[i16]]) -> anyhow::Result<(Vec<Vec<i16>>, u64)> {
        if let Kind::Coded(codec) = self.kind {
            let clips: Vec<_> = clips.iter().map(|clip| clip.to_vec()).collect();
            return codec.round_trip(&clips);
        }
        let attacked = clips.iter().enumerate().map(|(index, clip)| self.on_samples(number + index, clip));
        Ok((attacked.collect::<anyhow::Result<_>>()?, 0))
    }

    fn on_samples(&self, number: usize, clip: &[i16]) -> anyhow::Result<Vec<i16>> {
        let mut draw = AttackRng::new(PURPOSE, number);
        Ok(match self.kind {
            Kind::Rounding | Kind::Coded(_) => clip.to_vec(),
            Kind::Gain(decibels) => {
                let gain = 10f32.powf(decibels / 20.0);
                clip.iter().map(|&sample| to_i16(gain * to_f32(sample))).collect()
            }
            Kind::Crop => crop(&mut draw, clip),
            Kind::Rate(rate) => {
                // The WAV reader always resamples to 24 kHz: a header of 24 kHz * 24 kHz / rate
                // makes it go down to `rate`.
                read_as(&read_as(clip, SAMPLE_RATE * SAMPLE_RATE / rate)?, rate)?
            }
            Kind::Noise(decibels) => {
                let level = rms(clip) * 10f32.powf(-decibels / 20.0);
                clip.iter().map(|&sample| to_i16(to_f32(sample) + level * draw.normal())).collect()
            }
            Kind::Dropout => dropout(&mut draw, clip),
            Kind::Speed(factor) => read_as(clip, (SAMPLE_RATE as f32 * factor).round() as u32)?,
            Kind::Polarity => clip.iter().map(|sample| sample.saturating_neg()).collect(),
            Kind::HighPass => high_pass(clip),
        })
    }
}

pub(crate) fn rms(clip: &[i16]) -> f32 {
    let power: f64 = clip.iter().map(|&sample| f64::from(to_f32(sample)).powi(2)).sum();
    (power / clip.len().max(1) as f64).sqrt() as f32
}

fn crop(draw: &mut AttackRng, clip: &[i16]) -> Vec<i16> {
    let mut off = || {
        let samples = 1 + draw.below((clip.len() as f32 * CROP_SHARE) as usize);
        if samples.is_multiple_of(HOP) { samples - 1 } else { samples }
    };
    let (head, tail) = (off(), off());
    clip[head..clip.len() - tail].to_vec()
}

/// Resamples the clip to 24 kHz as if it had been recorded at `rate`.
fn read_as(clip: &[i16], rate: u32) -> anyhow::Result<Vec<i16>> {
    let mut wav = Clip::from_samples(clip.to_vec()).to_wav();
    wav[24..28].copy_from_slice(&rate.to_le_bytes());
    wav[28..32].copy_from_slice(&(2 * rate).to_le_bytes());
    Ok(Clip::from_wav(&wav).with_context(|| format!("resampling from {rate} Hz"))?.samples().to_vec())
}

fn dropout(draw: &mut AttackRng, clip: &[i16]) -> Vec<i16> {
    let packets = clip.len().div_ceil(PACKET);
    let mut order: Vec<_> = (0..packets).collect();
    let lost = (packets * LOST_PERCENT).div_ceil(100);
    for place in 0..lost {
        order.swap(place, place + draw.below(packets - place));
    }
    let mut out = clip.to_vec();
    for &packet in &order[..lost] {
        let end = ((packet + 1) * PACKET).min(out.len());
        out[packet * PACKET..end].fill(0);
    }
    out
}

/// Applies a Butterworth high-pass filter, made by the bilinear transform.
fn high_pass(clip: &[i16]) -> Vec<i16> {
    let angle = TAU * HIGH_PASS_HZ / f64::from(SAMPLE_RATE);
    let (cosine, alpha) = (angle.cos(), angle.sin() / SQRT_2);
    let b = (1.0 + cosine) / 2.0;
    let mut filter = Biquad::new([b, -2.0 * b, b], [1.0 + alpha, -2.0 * cosine, 1.0 - alpha]);
    clip.iter().map(|&sample| to_i16(filter.pass(to_f32(sample)))).collect()
}

/// Filter of two poles and two zeros.
pub(crate) struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl Biquad {
    pub(crate) fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        let scaled = |value: f64| value / a[0];
        Self { b: b.map(scaled), a: [scaled(a[1]), scaled(a[2])], state: [0.0; 2] }
    }

    pub(crate) fn pass(&mut self, input: f32) -> f32 {
        let input = f64::from(input);
        let output = self.b[0] * input + self.state[0];
        self.state = [self.b[1] * input - self.a[0] * output + self.state[1], self.b[2] * input - self.a[1] * output];
        output as f32
    }
}
