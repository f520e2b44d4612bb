//! Tests of each part by itself, against the package and against the plainest way to compute it.

use candle_core::{Device, Tensor};

use super::{MODES, cases, clip, distance, folder, golden, indices, narrow, number, snr};
use crate::network::{BatchNorm, ConvStack, Frame, GatedConv};
use crate::resample::{Resampler, resample};
use crate::stft::{self, Framer, HOP, Overlap, SIZE};
use crate::{BnMode, RATE, scaled};

#[test]
fn the_resampler_is_torchaudios() {
    let start = number(&cases()["resample"]["start"]);
    for case in cases()["resample"]["cases"].as_array().unwrap() {
        let [from, to, length] = [0, 1, 2].map(|at| number(&case[at]));
        let (_, theirs) = golden(&format!("resample.{from}.{to}.{length}"));
        let ours = resample(&clip(start, length), from, to);
        let distance = distance(&ours, &theirs);
        println!("{from} to {to}, {length} samples: greatest difference {distance:.2e}");
        assert!(distance < 1e-6, "{from} to {to}, {length} samples: {distance:.2e}");
    }
}

#[test]
fn a_resampler_in_pieces_is_the_whole() {
    let clip = clip(0, 9_001);
    for (from, to) in [(24_000, RATE), (RATE, 24_000), (RATE, RATE)] {
        let whole = resample(&clip, from, to);
        for piece in [1, 79, 80, 147, 1_920] {
            let mut resampler = Resampler::new(from, to);
            let mut out: Vec<f32> = clip.chunks(piece).flat_map(|samples| resampler.push(samples)).collect();
            out.append(&mut resampler.finish());
            assert_eq!(out, whole, "{from} to {to} by {piece}");
        }
    }
}

#[test]
fn spectra_are_torchs() {
    let main = &cases()["encode"]["main"];
    let cipher = narrow(BnMode::Running);
    let samples = resample(&clip(0, number(&main["length"])), 24_000, RATE);
    let gain = cipher.gain(&samples).unwrap().unwrap();
    let spectra = stft::transform(&scaled(&samples, gain));
    assert_eq!(spectra.len(), number(&main["frames"]));
    let columns = indices("sample.columns");
    let (shape, magnitudes) = golden("encode.main.magnitude");
    assert_eq!(shape, [stft::ROWS, columns.len()]);
    let (_, re) = golden("encode.main.phasor.re");
    let (_, im) = golden("encode.main.phasor.im");
    let largest = magnitudes.iter().fold(0.0, |a: f32, b| a.max(*b));
    for (at, &theirs) in magnitudes.iter().enumerate() {
        let (row, column) = (at / columns.len(), at % columns.len());
        let bin = spectra[columns[column]].0[row];
        let ours = bin.norm();
        assert!((ours - theirs).abs() <= 1e-5 * theirs + 1e-7 * largest, "row {row}, column {column}: {ours} {theirs}");
        // If the magnitude is close to zero, the phase is noise.
        if theirs > 1e-3 * largest {
            let off = (bin.re / ours - re[at]).abs().max((bin.im / ours - im[at]).abs());
            assert!(off < 1e-4, "row {row}, column {column}: {off}");
        }
    }
}

#[test]
fn one_frame_is_a_plain_transform() {
    let samples = clip(3_000, 3 * SIZE);
    let spectra = stft::transform(&samples);
    assert_eq!(spectra.len(), 1 + 2 * 4);
    for (frame, row) in [(0, 7), (2, 100), (3, 1023)] {
        let (mut re, mut im) = (0.0, 0.0);
        for at in 0..SIZE {
            let place = (frame * HOP + at).abs_diff(HOP);
            let turn = std::f64::consts::TAU * at as f64 / SIZE as f64;
            let value = f64::from(samples[place]) * (0.5 - 0.5 * turn.cos());
            re += value * (turn * row as f64).cos();
            im -= value * (turn * row as f64).sin();
        }
        let bin = spectra[frame].0[row];
        let off = (f64::from(bin.re) - re).hypot(f64::from(bin.im) - im);
        assert!(off < 1e-4 * re.hypot(im).max(1.0), "frame {frame}, row {row}: {off}");
    }
}

#[test]
fn spectra_in_pieces_are_the_whole_and_lead_back() {
    for length in [1, 2_047, 2_048, 2_049, 4_096, 4_097, 8_192, 30_001] {
        let samples = clip(1_000, length);
        let whole = stft::transform(&samples);
        assert_eq!(whole.len(), 1 + (length / SIZE + 1) * 2);
        assert!(distance(&stft::inverse(&whole, length), &samples) < 1e-6, "{length} samples do not come back");
        for piece in [1, 2_048, 5_000] {
            let mut framer = Framer::new();
            let mut spectra = Vec::new();
            for part in samples.chunks(piece) {
                spectra.append(&mut framer.push(part));
            }
            spectra.append(&mut framer.finish());
            let mut overlap = Overlap::new();
            let out: Vec<f32> = spectra.iter().flat_map(|spectrum| overlap.push(spectrum)).collect();
            assert_eq!(out[..length], stft::inverse(&whole, length), "{length} by {piece}");
        }
    }
}

/// Reference layer: the weights in the order of the files, and the output computed index by index.
struct PlainLayer {
    conv: Vec<f32>,
    gate: Vec<f32>,
    sizes: [usize; 3],
}

impl PlainLayer {
    fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        let count = outputs * inputs * kernel * kernel;
        let draw = |seed: usize| (0..count).map(|at| ((at * 37 + seed * 11) % 101) as f32 / 101.0 - 0.5).collect();
        Self { conv: draw(1), gate: draw(2), sizes: [inputs, outputs, kernel] }
    }

    fn bias(&self) -> Vec<f32> {
        (0..2 * self.sizes[1]).map(|at| at as f32 * 0.1 - 0.2).collect()
    }

    fn norm(&self) -> BatchNorm {
        let values = |offset: f32| (0..self.sizes[1]).map(|at| offset + at as f32 * 0.3).collect();
        BatchNorm { weight: values(0.7), bias: values(-0.2), mean: values(0.1), variance: values(0.5) }
    }

    fn layer(&self) -> GatedConv {
        let [inputs, outputs, kernel] = self.sizes;
        let both = [self.conv.clone(), self.gate.clone()].concat();
        let weight = Tensor::from_vec(both, (2 * outputs, inputs, kernel, kernel), &Device::Cpu).unwrap();
        GatedConv::new(&weight, self.bias(), self.norm()).unwrap()
    }

    fn convolve(&self, weight: &[f32], bias: f32, frames: &[Frame], out: usize, place: [usize; 2]) -> f64 {
        let [inputs, _, kernel] = self.sizes;
        let rows = frames[0].len() / inputs;
        let [row, column] = place;
        let mut sum = f64::from(bias);
        for input in 0..inputs {
            for down in 0..kernel {
                for along in 0..kernel {
                    let (r, c) = ((row + down).wrapping_sub(kernel / 2), (column + along).wrapping_sub(kernel / 2));
                    if r < rows && c < frames.len() {
                        let tap = weight[((out * inputs + input) * kernel + down) * kernel + along];
                        sum += f64::from(tap * frames[c][input * rows + r]);
                    }
                }
            }
        }
        sum
    }

    fn whole(&self, frames: &[Frame], mode: BnMode) -> Vec<Frame> {
        let [inputs, outputs, _] = self.sizes;
        let rows = frames[0].len() / inputs;
        let (bias, norm) = (self.bias(), self.norm());
        let mut made = vec![vec![0.0; outputs * rows]; frames.len()];
        for out in 0..outputs {
            let at = |place| {
                let gate = self.convolve(&self.gate, bias[outputs + out], frames, out, place);
                self.convolve(&self.conv, bias[out], frames, out, place) / (1.0 + (-gate).exp())
            };
            let values: Vec<f64> = (0..rows * frames.len()).map(|i| at([i % rows, i / rows])).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            let [mean, variance] = match mode {
                BnMode::Batch => [mean, variance],
                BnMode::Running => [norm.mean[out], norm.variance[out]].map(f64::from),
            };
            for (i, value) in values.iter().enumerate() {
                let normal = (value - mean) / (variance + 1e-5).sqrt();
                made[i / rows][out * rows + i % rows] = (normal * f64::from(norm.weight[out])) as f32 + norm.bias[out];
            }
        }
        made
    }
}

#[test]
fn layers_are_plain_convolutions() {
    for (count, rows) in [(1, 9), (2, 5), (7, 12)] {
        let plain = [PlainLayer::new(2, 3, 3), PlainLayer::new(3, 4, 3), PlainLayer::new(4, 1, 1)];
        let stack = ConvStack::new(plain.iter().map(PlainLayer::layer).collect());
        assert_eq!(stack.context(), 2);
        let frame = |at: usize| (0..2 * rows).map(|row| ((at * 31 + row * 17) % 23) as f32 / 23.0).collect();
        let frames: Vec<Frame> = (0..count).map(frame).collect();
        for (mode, name) in MODES {
            let theirs = plain.iter().fold(frames.clone(), |frames, plain| plain.whole(&frames, mode)).concat();
            let ours = stack.whole(frames.clone(), mode).unwrap().concat();
            let distance = distance(&ours, &theirs);
            assert!(distance < 2e-5, "{count} frames, {name}: {distance}");
        }
    }
}

#[test]
fn the_wide_encoder_is_the_packages() {
    for file in ["enc_c.ckpt", "enc_c.module.ckpt"] {
        let tensors = crate::torch_checkpoint::read(&folder().join("wide").join(file)).unwrap();
        let stack = crate::torch_checkpoint::encoder(&tensors).unwrap();
        let (shape, input) = golden("wide.input");
        let [rows, columns] = shape[..] else { panic!("{shape:?}") };
        let frame = |column: usize| (0..rows).map(|row| input[row * columns + column]).collect();
        let frames: Vec<Frame> = (0..columns).map(frame).collect();
        for (mode, name) in MODES {
            let made = stack.whole(frames.clone(), mode).unwrap();
            let (shape, theirs) = golden(&format!("wide.{name}.enc_c"));
            assert_eq!(shape, [32, rows, columns]);
            let ours: Vec<f32> = (0..theirs.len()).map(|at| made[at % columns][at / columns]).collect();
            let snr = snr(&ours, &theirs);
            assert!(snr > 100.0, "{file}, {name}: {snr:.1} dB");
        }
    }
}
