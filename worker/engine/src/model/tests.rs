#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "cuda")]
mod cuda;
mod times;

use std::path::PathBuf;

use csm_shared::job::{Sampling, Seed, Temperature, TopK};

use super::*;

fn folder() -> PathBuf {
    csm_testing::golden("hf")
}

fn model() -> Model {
    load(WeightFormat::F32)
}

fn load(format: WeightFormat) -> Model {
    let options = LoadOptions { weights: WeightChoice::Format(format), slots: 4, threads: Some(2) };
    Model::load(&folder(), &Device::Cpu, &options, &mut |_| {}).unwrap()
}

/// Loads the same model into the forward pass on tensors.
fn tensors(format: WeightFormat) -> Model {
    let config = CsmConfig::from_folder(&folder()).unwrap();
    let mut silent = |_| {};
    let mut weights = Weights::open(&folder(), &config, &mut silent).unwrap();
    let net = tensor::TensorNet::load(&mut weights, &config, format, 4, &Device::Cpu, 2).unwrap();
    Model::over(config, format, Box::new(net), 4)
}

fn sampling(temperature: f32, seed: u64) -> Sampling {
    Sampling {
        temperature: Temperature::new(temperature).unwrap(),
        topk: TopK::new(50).unwrap(),
        seed: Seed::new(seed),
    }
}

fn row(slot: usize, sampling: Sampling, frame_index: u32) -> Row {
    Row { slot, sampling, frame_index }
}

/// Returns a prompt longer than one prefill block, text and audio mixed.
fn prompt() -> Vec<Position> {
    let frame = |index: u32| Position::Audio(std::array::from_fn(|codebook| (index * 7 + codebook as u32) % 64));
    (0..158).map(|index| if index % 50 < 20 { Position::Text(index % 256) } else { frame(index) }).collect()
}

fn generate(model: &mut Model, slot: usize, sampling: Sampling, frames: u32) -> Vec<Frame> {
    (0..frames).map(|index| model.step(&[row(slot, sampling, index)]).unwrap()[0]).collect()
}

/// Returns the logits of the first frame.
fn logits(model: &mut Model, slot: usize) -> Vec<f32> {
    let frame = model.step_traced(&row(slot, sampling(0.0, 0), 0)).unwrap();
    frame.logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn pieces_do_not_change_a_prompt() {
    let mut model = model();
    model.prefill(0, &prompt()).unwrap();
    for piece in prompt().chunks(33) {
        model.prefill(1, piece).unwrap();
    }
    assert_eq!((model.positions(0), model.positions(1)), (prompt().len(), prompt().len()));
    assert_eq!(logits(&mut model, 0), logits(&mut model, 1));
}

#[test]
fn frames_fed_back_are_the_same_as_frames_prefilled() {
    let mut model = model();
    model.prefill(0, &prompt()).unwrap();
    let frames = generate(&mut model, 0, sampling(0.9, 3), 5);
    model.prefill(1, &prompt()).unwrap();
    model.prefill(1, &frames.iter().map(|&frame| Position::Audio(frame)).collect::<Vec<_>>()).unwrap();
    assert_eq!(logits(&mut model, 0), logits(&mut model, 1));
    assert_eq!(model.positions(0), prompt().len() + 5);
}

/// Returns the bits of all logits.
fn bits(frame: &TracedFrame) -> Vec<u32> {
    let logits: Vec<f32> = frame.logits.flatten_all().unwrap().to_vec1().unwrap();
    logits.into_iter().map(f32::to_bits).collect()
}

/// Checks [`Model::replay`] in every format and in both forward passes. A slot that was given
/// frames, in any portions, continues bit for bit like the slot that made them.
#[test]
fn a_slot_that_was_given_frames_goes_on_like_the_one_that_made_them() {
    let formats = [WeightFormat::F32, WeightFormat::Q8_0, WeightFormat::Q4K];
    for (name, mut model) in formats
        .map(|format| (format, load(format)))
        .into_iter()
        .chain([(WeightFormat::F32, tensors(WeightFormat::F32)), (WeightFormat::Q8_0, tensors(WeightFormat::Q8_0))])
    {
        let sampling = sampling(0.9, 3);
        model.prefill(0, &prompt()).unwrap();
        let made = generate(&mut model, 0, sampling, 40);
        let at_the_end = model.step_traced(&row(0, sampling, 40)).unwrap();
        for pieces in [vec![40], vec![1, 39], vec![7, 32, 1], vec![33, 0, 7]] {
            model.reset(1);
            model.prefill(1, &prompt()).unwrap();
            let mut rest = &made[..];
            for piece in &pieces {
                let (now, later) = rest.split_at(*piece);
                model.replay(1, now).unwrap();
                rest = later;
            }
            let again = model.step_traced(&row(1, sampling, 40)).unwrap();
            assert_eq!(again.codes, at_the_end.codes, "{name} {pieces:?}");
            assert!(bits(&again) == bits(&at_the_end), "{name} {pieces:?}: other logits");
            assert_eq!(model.positions(1), model.positions(0));
        }
        // Some frames made, some given.
        model.reset(2);
        model.prefill(2, &prompt()).unwrap();
        generate(&mut model, 2, sampling, 3);
        model.replay(2, &made[3..40]).unwrap();
        assert_eq!(model.step(&[row(2, sampling, 40)]).unwrap(), [at_the_end.codes], "{name}");
    }
}

#[test]
fn what_cannot_have_been_spoken_is_not_replayed() {
    let mut model = model();
    assert!(matches!(model.replay(0, &[[1; 32]]), Err(ModelError::NothingToContinue)));
    model.prefill(0, &prompt()).unwrap();
    assert!(matches!(model.replay(0, &[[1; 32], END_FRAME]), Err(ModelError::NothingToContinue)));
    assert!(matches!(model.replay(0, &[[64; 32]]), Err(ModelError::IdOutOfRange { .. })));
    assert!(matches!(model.replay(0, &[[1; 32]; 1900]), Err(ModelError::WindowFull { limit: 2048 })));
    model.replay(0, &[]).unwrap();
    assert_eq!(model.positions(0), prompt().len(), "nothing was read");
}

/// Generates the frames after a prompt of `length` positions, in one slot, alone.
fn generate_alone(model: &mut Model, slot: usize, length: usize) -> Vec<Frame> {
    model.reset(slot);
    model.prefill(slot, &prompt()[..length]).unwrap();
    generate(model, slot, sampling(0.9, length as u64), 4)
}

/// Checks that four rows give the same frames alone and together. Returns the frames of the longest
/// prompt, of 158 positions.
fn batch_changes_nothing(model: &mut Model) -> Vec<Frame> {
    let format = model.format();
    let lengths = [158, 3, 40, 77];
    let expected = lengths.map(|length| generate_alone(model, 1, length));
    for (slot, length) in lengths.into_iter().enumerate() {
        model.reset(slot);
        model.prefill(slot, &prompt()[..length]).unwrap();
    }
    for index in 0..4 {
        // In reverse, so that a row's place among the rows is not its slot.
        let rows: Vec<_> = (0..4).rev().map(|slot| row(slot, sampling(0.9, lengths[slot] as u64), index)).collect();
        let frames = model.step(&rows).unwrap();
        for (slot, expected) in expected.iter().enumerate() {
            assert_eq!(frames[3 - slot], expected[index as usize], "{format} slot {slot} frame {index}");
        }
    }
    let [longest, ..] = expected;
    longest
}

#[test]
fn a_row_is_the_same_alone_and_in_company_in_every_format() {
    for format in [WeightFormat::F32, WeightFormat::Q8_0, WeightFormat::Q4K] {
        batch_changes_nothing(&mut load(format));
    }
}

#[test]
fn a_prefix_restored_is_a_prefix_read() {
    for mut model in [model(), tensors(WeightFormat::F32)] {
        model.prefill(0, &prompt()[..100]).unwrap();
        let prefix = model.save_prefix(0).unwrap();
        assert!(prefix.positions() == 100 && prefix.bytes() > 0);
        assert_eq!(prefix.bytes(), model.prefix_bytes(100));
        model.prefill(0, &prompt()[100..]).unwrap();
        let read = generate(&mut model, 0, sampling(0.9, 1), 3);
        model.prefill(2, &vec![Position::Text(7); 50]).unwrap();
        generate(&mut model, 2, sampling(0.9, 2), 2);
        assert!(matches!(model.restore_prefix(2, &prefix), Err(ModelError::StrangePrefix)));
        assert!(matches!(model.save_prefix(2), Err(ModelError::StrangePrefix)));
        model.reset(2);
        model.restore_prefix(2, &prefix).unwrap();
        let nothing_read = model.step(&[row(2, sampling(0.9, 1), 0)]);
        assert!(matches!(nothing_read, Err(ModelError::NothingToContinue)));
        model.prefill(2, &prompt()[100..]).unwrap();
        assert_eq!(generate(&mut model, 2, sampling(0.9, 1), 3), read);
    }
}

/// Generates frames in two slots at different positions; one slot joins late.
fn generate_in_batch(model: &mut Model, temperature: f32) -> Vec<Frame> {
    for slot in [1, 3] {
        model.reset(slot);
    }
    model.prefill(3, &prompt()).unwrap();
    let mut said = vec![model.step(&[row(3, sampling(temperature, 5), 0)]).unwrap()];
    model.prefill(1, &prompt()[..30]).unwrap();
    for index in 0..4 {
        let rows = [row(1, sampling(temperature, 6), index), row(3, sampling(temperature, 5), index + 1)];
        said.push(model.step(&rows).unwrap());
    }
    said.concat()
}

#[test]
fn both_forward_passes_say_the_same() {
    let (mut packed, mut on_tensors) = (model(), tensors(WeightFormat::F32));
    for temperature in [0.0, 0.9] {
        let (packed, on_tensors) =
            (generate_in_batch(&mut packed, temperature), generate_in_batch(&mut on_tensors, temperature));
        assert_eq!(packed, on_tensors, "at {temperature}");
    }
}

#[test]
fn the_smallest_temperatures_draw_the_same_on_both_passes() {
    let (mut packed, mut on_tensors) = (model(), tensors(WeightFormat::F32));
    for temperature in [f32::from_bits(1), 1e-40, f32::MIN_POSITIVE, 1e-30] {
        let (packed, on_tensors) =
            (generate_in_batch(&mut packed, temperature), generate_in_batch(&mut on_tensors, temperature));
        assert_eq!(packed, on_tensors, "at {temperature:e}");
    }
}

/// candle's quantised product rounds activations differently. A code may therefore differ, and then
/// all codes after it.
#[test]
fn both_forward_passes_quantise_alike() {
    let first = |mut model: Model| {
        model.prefill(2, &prompt()).unwrap();
        let mut first = logits(&mut model, 2);
        first.truncate(model.config().audio_vocab);
        first
    };
    let exact = first(model());
    let largest = exact.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
    let (packed, on_tensors) = (first(load(WeightFormat::Q8_0)), first(tensors(WeightFormat::Q8_0)));
    let (between, lost) = (largest_difference(&packed, &on_tensors), largest_difference(&packed, &exact));
    assert!(between < 0.03 * largest && lost < 0.05 * largest, "{between} and {lost} of {largest}");
}

#[test]
fn rows_on_tensors_do_not_depend_on_company() {
    let mut model = tensors(WeightFormat::F32);
    model.prefill(0, &prompt()).unwrap();
    let alone = generate(&mut model, 0, sampling(0.9, 1), 4);
    for slot in 0..4 {
        model.reset(slot);
        model.prefill(slot, &prompt()[..158 - 50 * slot]).unwrap();
    }
    for (index, expected) in (0..).zip(&alone) {
        let rows: Vec<_> = (0..4).map(|slot| row(slot, sampling(0.9, 1 + slot as u64), index)).collect();
        assert_eq!(model.step(&rows).unwrap()[0], *expected);
    }
}

#[test]
fn a_reset_slot_is_a_new_slot() {
    for mut model in [model(), load(WeightFormat::Q4K), tensors(WeightFormat::F32)] {
        model.prefill(0, &prompt()).unwrap();
        let fresh = generate(&mut model, 0, sampling(0.9, 5), 4);
        for first in [200, 1] {
            model.reset(0);
            model.prefill(0, &vec![Position::Text(first); 60]).unwrap();
            generate(&mut model, 0, sampling(0.9, 6), 3);
        }
        model.reset(0);
        model.prefill(0, &prompt()).unwrap();
        assert_eq!(generate(&mut model, 0, sampling(0.9, 5), 4), fresh);
    }
}

#[test]
fn a_forced_frame_is_what_is_continued() {
    let mut model = model();
    let other: Frame = std::array::from_fn(|codebook| codebook as u32 + 3);
    assert!(matches!(model.force(0, other), Err(ModelError::NothingToContinue)));
    model.prefill(0, &prompt()).unwrap();
    generate(&mut model, 0, sampling(0.9, 5), 1);
    model.force(0, other).unwrap();
    model.prefill(1, &[&prompt()[..], &[Position::Audio(other)]].concat()).unwrap();
    assert_eq!(logits(&mut model, 0), logits(&mut model, 1));
    assert!(matches!(model.force(0, [64; CODEBOOKS]), Err(ModelError::IdOutOfRange { .. })));
}

#[test]
fn a_seed_decides_what_is_said() {
    let mut model = model();
    let mut say = |seed| {
        model.reset(0);
        model.prefill(0, &prompt()).unwrap();
        generate(&mut model, 0, sampling(0.9, seed), 3)
    };
    let (first, again, other) = (say(1), say(1), say(2));
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.concat().iter().all(|&code| (code as usize) < model.config().codebook_size));
}

#[test]
fn misuse_is_refused() {
    let mut model = model();
    let greedy = |slot| row(slot, sampling(0.0, 0), 0);
    assert!(matches!(model.step(&[greedy(0)]), Err(ModelError::NothingToContinue)));
    let error = model.prefill(0, &[Position::Text(0), Position::Text(268)]).unwrap_err().to_string();
    assert_eq!(error, "prompt position 1: text id 268 is not below 268");
    let mut frame = END_FRAME;
    frame[31] = 64;
    let error = model.prefill(0, &[Position::Audio(frame)]).unwrap_err().to_string();
    assert_eq!(error, "prompt position 0: audio id 64 is not below 64");
    let long = vec![Position::Text(0); 2049];
    assert!(matches!(model.prefill(0, &long), Err(ModelError::WindowFull { limit: 2048 })));
    assert_eq!(model.positions(0), 0, "a refused prompt leaves nothing");
    model.prefill(0, &[Position::Text(1)]).unwrap();
    assert!(matches!(model.step(&[greedy(0), greedy(0)]), Err(ModelError::Slot { slot: 0, slots: 4 })));
    model.step(&[greedy(0)]).unwrap();
    assert!(matches!(model.prefill(0, &[Position::Text(1)]), Err(ModelError::PromptAfterFrame)));
    assert!(matches!(model.prefill(4, &[Position::Text(1)]), Err(ModelError::Slot { slot: 4, slots: 4 })));
    assert!(model.step(&[]).unwrap().is_empty());
    let bf16 = LoadOptions { weights: WeightChoice::Format(WeightFormat::Bf16), slots: 1, threads: None };
    let error = Model::load(&folder(), &Device::Cpu, &bf16, &mut |_| {}).err().unwrap().to_string();
    assert_eq!(error, "the CPU holds weights as f32, q8_0, q4_k, not as bf16");
}

#[test]
fn the_window_ends_speech() {
    let mut model = model();
    model.prefill(0, &vec![Position::Text(1); 2047]).unwrap();
    generate(&mut model, 0, sampling(0.9, 1), 2);
    assert_eq!(model.positions(0), 2048);
    let error = model.step(&[row(0, sampling(0.9, 1), 2)]).unwrap_err();
    assert!(matches!(error, ModelError::WindowFull { limit: 2048 }), "{error}");
}

#[test]
fn nothing_follows_the_end_frame() {
    // Heads of zeros make every code 0.
    let silent = csm_weights::tests::changed(|tensors| {
        for name in ["lm_head.weight", "depth_decoder.codebooks_head.weight"] {
            let zeros = tensors[name].zeros_like().unwrap();
            tensors.insert(name.into(), zeros);
        }
    });
    let mut model = Model::load(silent.path(), &Device::Cpu, &LoadOptions::f32(1), &mut |_| {}).unwrap();
    model.prefill(0, &prompt()).unwrap();
    assert_eq!(model.step(&[row(0, sampling(0.0, 0), 0)]).unwrap(), [END_FRAME]);
    let after = model.step(&[row(0, sampling(0.0, 0), 1)]);
    assert!(matches!(after, Err(ModelError::NothingToContinue)));
}

/// Checks that weights of NaN are noticed on the device in each of the formats.
fn broken_weights_are_noticed(device: &Device, formats: &[WeightFormat]) {
    let broken = csm_weights::tests::changed(|tensors| {
        let nan = (tensors["backbone_model.norm.weight"].zeros_like().unwrap() * f64::NAN).unwrap();
        tensors.insert("backbone_model.norm.weight".into(), nan);
    });
    for &format in formats {
        let options = LoadOptions { weights: WeightChoice::Format(format), slots: 1, threads: None };
        let mut model = Model::load(broken.path(), device, &options, &mut |_| {}).unwrap();
        model.prefill(0, &prompt()).unwrap();
        let error = model.step(&[row(0, sampling(0.9, 0), 7)]).unwrap_err().to_string();
        assert_eq!(error, "the logits of frame 7, codebook 0 are not finite", "{format}");
    }
}

#[test]
fn broken_weights_are_noticed_when_speaking() {
    broken_weights_are_noticed(&Device::Cpu, &[WeightFormat::F32, WeightFormat::Q8_0, WeightFormat::Q4K]);
}
