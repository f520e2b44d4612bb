#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;

use candle_core::{DType, Device, Module, Tensor};
use candle_transformers::models::mimi::conv::ConvTrUpsample1d;
use candle_transformers::models::mimi::quantization::SplitResidualVectorQuantizer;
use candle_transformers::models::mimi::seanet::SeaNetDecoder;
use csm_shared::audio::{CODEBOOKS, FRAME_SAMPLES};
use csm_testing::golden;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::conv::{Conv, ConvScratch, Memory, Shape};
use super::*;
use crate::codec::encoder::encoder_transformer::EncoderTransformer;
use crate::codec::tests::{codec, frames};
use crate::codec::{Codec, open};
use crate::engine::MAX_SLOTS;
use csm_kernels::rowwise;

/// Window of the small codec, in frames.
const WINDOW_FRAMES: usize = 25;

fn random(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Decodes all frames in calls of the given sizes in turn.
fn streamed(decoder: &mut Decoder, slot: usize, frames: &[Frame], sizes: &[usize]) -> Vec<f32> {
    let mut pcm = Vec::new();
    let (mut rest, mut sizes) = (frames, sizes.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        pcm.extend(decoder.push(&[(slot, now)]).unwrap().concat());
        rest = later;
    }
    pcm
}

/// Decodes a whole utterance by candle's layers and by the transformer that proves the encoder.
fn by_candle(frames: &[Frame]) -> Vec<f32> {
    let (files, config, prefix) = open(&golden("hf")).unwrap();
    let vb = VarBuilder::from_backend(Box::new(files), DType::F32, Device::Cpu).pp(prefix);
    let (dim, hidden) = (config.codebook_dim, Some(config.hidden));
    let quantizer =
        SplitResidualVectorQuantizer::new(dim, hidden, hidden, CODEBOOKS, config.codebook_size, vb.pp("quantizer"))
            .unwrap();
    let upsample = ConvTrUpsample1d::new(config.latent_stride, config.hidden, true, true, vb.pp("upsample")).unwrap();
    let transformer = EncoderTransformer::load(&config, &vb.pp("decoder_transformer")).unwrap();
    let seanet = SeaNetDecoder::new(&config.seanet(), vb.pp("decoder")).unwrap();
    let codes: Vec<u32> = (0..CODEBOOKS).flat_map(|codebook| frames.iter().map(move |frame| frame[codebook])).collect();
    let codes = Tensor::from_vec(codes, (1, CODEBOOKS, frames.len()), &Device::Cpu).unwrap();
    let latents = upsample.forward(&quantizer.decode(&codes).unwrap()).unwrap();
    let pcm = seanet.forward(&transformer.forward(&latents).unwrap()).unwrap();
    pcm.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn far_past_the_window_the_sound_is_that_of_candles_layers() {
    let frames = frames(12 * WINDOW_FRAMES as u32, 1);
    let pcm = codec().decode(&frames).unwrap();
    let expected = by_candle(&frames);
    let loudest = expected.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
    let difference = largest_difference(&pcm, &expected);
    assert!(difference < 1e-5 * loudest.max(1.0), "{difference} of {loudest}");
}

#[test]
fn however_the_frames_are_cut_the_samples_are_the_same_bits() {
    let codec = codec();
    let frames = frames(4 * WINDOW_FRAMES as u32, 2);
    let whole = codec.decode(&frames).unwrap();
    assert_eq!(whole.len(), frames.len() * FRAME_SAMPLES);
    assert!(whole.iter().all(|sample| sample.is_finite()));
    for sizes in [&[1][..], &[2], &[1, 4], &[25], &[100], &[3, 1, 60, 1, 1], &[7, 26]] {
        let pcm = streamed(&mut codec.new_decoder(1, 1), 0, &frames, sizes);
        assert_eq!(pcm, whole, "cut by {sizes:?}");
    }
}

/// Utterance of a random schedule.
struct DecodedUtterance {
    frames: Vec<Frame>,
    done: usize,
    pcm: Vec<f32>,
}

/// Runs a random schedule: utterances come and go in random slots, in calls of random rows and
/// sizes. Each must have the same samples as alone.
fn schedule(codec: &Codec, seed: u64, most: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let slots = rng.random_range(most.div_ceil(6)..=most);
    let mut decoder = codec.new_decoder(slots, if rng.random_bool(0.1) { 3 } else { 1 });
    let mut speaking: Vec<Option<DecodedUtterance>> = (0..slots).map(|_| None).collect();
    let mut check = |utterance: DecodedUtterance| {
        let alone = codec.decode(&utterance.frames[..utterance.done]).unwrap();
        assert!(utterance.pcm == alone, "seed {seed}: {} frames differ from alone", utterance.done);
    };
    for _ in 0..12 {
        for (slot, speaking) in speaking.iter_mut().enumerate() {
            if speaking.is_none() || rng.random_bool(0.15) {
                speaking.take().map(&mut check);
                decoder.reset(slot);
                let frames = frames(rng.random_range(1..40), rng.random());
                *speaking = Some(DecodedUtterance { frames, done: 0, pcm: Vec::new() });
            }
        }
        let mut order: Vec<usize> = (0..slots).filter(|_| rng.random_bool(0.8)).collect();
        (1..order.len()).rev().for_each(|end| order.swap(end, rng.random_range(0..=end)));
        let sizes: Vec<usize> = order.iter().map(|_| rng.random_range(0..5)).collect();
        let rows: Vec<(usize, &[Frame])> = order
            .iter()
            .zip(&sizes)
            .map(|(&slot, size)| {
                let utterance = speaking[slot].as_ref().unwrap();
                let rest = &utterance.frames[utterance.done..];
                (slot, &rest[..rest.len().min(*size)])
            })
            .collect();
        let pcm = decoder.push(&rows).unwrap();
        let counts: Vec<usize> = rows.iter().map(|row| row.1.len()).collect();
        for ((slot, count), pcm) in order.iter().zip(counts).zip(pcm) {
            let utterance = speaking[*slot].as_mut().unwrap();
            utterance.done += count;
            utterance.pcm.extend(pcm);
        }
    }
    speaking.into_iter().flatten().for_each(check);
}

#[test]
fn whatever_the_other_slots_do_an_utterance_sounds_as_alone() {
    let codec = codec();
    (0..500).for_each(|seed| schedule(&codec, seed, 6));
    (500..510).for_each(|seed| schedule(&codec, seed, MAX_SLOTS));
}

#[test]
fn a_reset_slot_is_a_fresh_one() {
    let codec = codec();
    let mut decoder = codec.new_decoder(2, 1);
    let (before, after) = (frames(2 * WINDOW_FRAMES as u32, 3), frames(2 * WINDOW_FRAMES as u32, 4));
    streamed(&mut decoder, 1, &before, &[3]);
    decoder.reset(1);
    assert_eq!(streamed(&mut decoder, 1, &after, &[2]), streamed(&mut codec.new_decoder(2, 1), 1, &after, &[2]));
    // An unused slot must not have changed.
    assert_eq!(streamed(&mut decoder, 0, &after, &[2]), codec.decode(&after).unwrap());
}

#[test]
fn a_refused_call_leaves_no_trace() {
    let codec = codec();
    let mut decoder = codec.new_decoder(2, 1);
    let (first, second) = (frames(9, 5), frames(9, 6));
    let mut pcm = streamed(&mut decoder, 0, &first[..4], &[4]);
    let mut bad = second.clone();
    bad[1][5] = 64;
    let refused = |decoder: &mut Decoder, rows: &[(usize, &[Frame])]| decoder.push(rows).unwrap_err().to_string();
    let message = refused(&mut decoder, &[(0, &first[4..]), (1, &bad)]);
    assert_eq!(message, "frame 1, codebook 5: code 64 is not below 64");
    assert!(refused(&mut decoder, &[(0, &first[4..]), (2, &second)]).starts_with("slot 2 "));
    assert!(refused(&mut decoder, &[(0, &first[4..]), (0, &second)]).starts_with("slot 0 "));
    pcm.extend(streamed(&mut decoder, 0, &first[4..], &[5]));
    assert_eq!(pcm, codec.decode(&first).unwrap());
    assert_eq!(streamed(&mut decoder, 1, &second, &[9]), codec.decode(&second).unwrap());
    // The error counts frames over the utterance, not over the call.
    assert!(refused(&mut decoder, &[(1, &bad)]).starts_with("frame 10, "));
    assert_eq!(decoder.push(&[]).unwrap(), Vec::<Vec<f32>>::new());
    assert_eq!(decoder.push(&[(1, &[]), (0, &[])]).unwrap(), [[], []] as [[f32; 0]; 2]);
    decoder.reset(7);
    decoder.reset(1);
    assert!(refused(&mut decoder, &[(1, &bad)]).starts_with("frame 1, "));
}

#[test]
fn a_convolution_is_its_definition_with_dilation_and_beside_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (inputs, outputs, kernel, dilation) in [(3, 5, 4, 1), (2, 3, 3, 2), (4, 2, 1, 1), (1, 18, 3, 4)] {
        let weight = random(&mut rng, outputs * inputs * kernel);
        let bias = random(&mut rng, outputs);
        let tensors = HashMap::from([
            ("conv.weight".to_owned(), Tensor::from_slice(&weight, (outputs, inputs, kernel), &Device::Cpu).unwrap()),
            ("conv.bias".to_owned(), Tensor::from_slice(&bias, outputs, &Device::Cpu).unwrap()),
        ]);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let mut memory = Memory::default();
        let shape = Shape { inputs, outputs, kernel, dilation };
        let conv = Conv::load(shape, &vb, &mut memory).unwrap();
        let signals: Vec<Vec<f32>> = (0..3).map(|_| random(&mut rng, 12 * inputs)).collect();
        let mut histories: Vec<_> = signals.iter().map(|_| memory.histories()).collect();
        let (mut made, mut scratch, mut y) = (vec![Vec::new(); 3], ConvScratch::default(), Vec::new());
        for (start, end) in [(0, 1), (1, 3), (3, 12)] {
            let x: Vec<f32> = signals.iter().flat_map(|x| x[start * inputs..end * inputs].to_vec()).collect();
            let mut parts: Vec<_> =
                histories.iter_mut().map(|histories| Signal { histories, frames: end - start }).collect();
            conv.forward(&Pool::new(1), &mut parts, &x, &mut scratch, &mut y);
            made.iter_mut().zip(y.chunks_exact((end - start) * outputs)).for_each(|(made, y)| made.extend(y));
        }
        for (x, made) in signals.iter().zip(made) {
            let at = |step: usize, output: usize| {
                let tap = |tap: usize, input: usize| {
                    let from = step.checked_sub((kernel - 1 - tap) * dilation);
                    from.map_or(0.0, |from| x[from * inputs + input]) * weight[(output * inputs + input) * kernel + tap]
                };
                let taps = (0..kernel).flat_map(|step| (0..inputs).map(move |input| (step, input)));
                taps.map(|(step, input)| tap(step, input)).sum::<f32>() + bias[output]
            };
            let expected: Vec<f32> = (0..12)
                .flat_map(|step| (0..outputs).map(move |output| (step, output)))
                .map(|(s, o)| at(s, o))
                .collect();
            let difference = largest_difference(&made, &expected);
            assert!(difference < 1e-5, "kernel {kernel} dilation {dilation}: {difference}");
        }
    }
}

#[test]
fn functions_are_their_definitions() {
    let x: Vec<f32> = (-4000..=4000).map(|step| step as f32 / 200.0).collect();
    let mut y = vec![0.0; x.len()];
    rowwise::elu(&x, &mut y);
    let worst = x.iter().zip(&y).map(|(x, y)| (y - if *x > 0.0 { *x } else { x.exp_m1() }).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-7, "elu: {worst}");
    y.copy_from_slice(&x);
    rowwise::gelu(&mut y);
    let expected: Vec<f32> =
        Tensor::from_slice(&x, x.len(), &Device::Cpu).unwrap().gelu_erf().unwrap().to_vec1().unwrap();
    let worst = largest_difference(&y, &expected);
    assert!(worst < 2e-6, "gelu: {worst}");
    // The width is some whole registers and a rest.
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (weights, values) = (random(&mut rng, 5), random(&mut rng, 7 * 72));
    let mut mixed = vec![f32::NAN; 72];
    rowwise::mix(&weights, &values, &mut mixed);
    let expected: Vec<f32> = (0..72)
        .map(|lane| weights.iter().enumerate().map(|(row, weight)| weight * values[row * 72 + lane]).sum())
        .collect();
    assert!(largest_difference(&mixed, &expected) < 1e-6);
}
