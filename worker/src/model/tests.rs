#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use csm_shared::job::{Seed, Temperature, TopK};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/hf")
}

fn model() -> Model {
    Model::load(&folder(), &Device::Cpu, &mut |_| {}).unwrap()
}

fn sampling(temperature: f32, seed: u64) -> Sampling {
    Sampling {
        temperature: Temperature::new(temperature).unwrap(),
        topk: TopK::new(50).unwrap(),
        seed: Seed::new(seed),
    }
}

/// A prompt longer than one piece, text and audio mixed.
fn prompt() -> Vec<Position> {
    let frame = |index: u32| Position::Audio(std::array::from_fn(|codebook| (index * 7 + codebook as u32) % 64));
    (0..PREFILL_PIECE as u32 + 30)
        .map(|index| if index % 50 < 20 { Position::Text(index % 256) } else { frame(index) })
        .collect()
}

fn speak(model: &Model, cache: &mut Cache, sampling: &Sampling, frames: u32) -> Vec<Frame> {
    (0..frames).map(|index| model.step(cache, sampling, index).unwrap()).collect()
}

/// Logits of the first frame.
fn logits(model: &Model, cache: &mut Cache) -> Vec<f32> {
    let frame = model.step_traced(cache, &sampling(0.0, 0), 0).unwrap();
    frame.logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn pieces_do_not_change_a_prompt() {
    let model = model();
    let (mut whole, mut pieces) = (model.new_cache().unwrap(), model.new_cache().unwrap());
    model.prefill(&mut whole, &prompt()).unwrap();
    for piece in prompt().chunks(33) {
        model.prefill(&mut pieces, piece).unwrap();
    }
    assert_eq!((whole.positions(), pieces.positions()), (prompt().len(), prompt().len()));
    // Logits reach 100 in this checkpoint.
    assert!(largest_difference(&logits(&model, &mut whole), &logits(&model, &mut pieces)) < 5e-3);
}

#[test]
fn frames_fed_back_are_the_same_as_frames_prefilled() {
    let model = model();
    let (mut spoken, mut resumed) = (model.new_cache().unwrap(), model.new_cache().unwrap());
    model.prefill(&mut spoken, &prompt()).unwrap();
    let frames = speak(&model, &mut spoken, &sampling(0.9, 3), 5);
    model.prefill(&mut resumed, &prompt()).unwrap();
    model.prefill(&mut resumed, &frames.iter().map(|&frame| Position::Audio(frame)).collect::<Vec<_>>()).unwrap();
    assert!(largest_difference(&logits(&model, &mut spoken), &logits(&model, &mut resumed)) < 5e-3);
    assert_eq!(spoken.positions(), prompt().len() + 5);
}

#[test]
fn a_reset_cache_is_a_new_cache() {
    let model = model();
    let mut cache = model.new_cache().unwrap();
    model.prefill(&mut cache, &prompt()).unwrap();
    let fresh = speak(&model, &mut cache, &sampling(0.9, 5), 4);
    for first in [200, 1] {
        cache.reset();
        let other = vec![Position::Text(first); 60];
        model.prefill(&mut cache, &other).unwrap();
        speak(&model, &mut cache, &sampling(0.9, 6), 3);
    }
    cache.reset();
    model.prefill(&mut cache, &prompt()).unwrap();
    assert_eq!(speak(&model, &mut cache, &sampling(0.9, 5), 4), fresh);
}

#[test]
fn a_seed_decides_what_is_said() {
    let model = model();
    let say = |seed| {
        let mut cache = model.new_cache().unwrap();
        model.prefill(&mut cache, &prompt()).unwrap();
        speak(&model, &mut cache, &sampling(0.9, seed), 3)
    };
    assert_eq!(say(1), say(1));
    assert_ne!(say(1), say(2));
    assert!(say(1).concat().iter().all(|&code| (code as usize) < model.config().codebook_size));
}

#[test]
fn misuse_is_refused() {
    let model = model();
    let mut cache = model.new_cache().unwrap();
    let step = |cache: &mut Cache| model.step(cache, &sampling(0.0, 0), 0);
    assert!(matches!(step(&mut cache), Err(ModelError::NothingToContinue)));
    let error = model.prefill(&mut cache, &[Position::Text(0), Position::Text(268)]).unwrap_err().to_string();
    assert_eq!(error, "prompt position 1: text id 268 is not below 268");
    let mut frame = END_FRAME;
    frame[31] = 64;
    let error = model.prefill(&mut cache, &[Position::Audio(frame)]).unwrap_err().to_string();
    assert_eq!(error, "prompt position 0: audio id 64 is not below 64");
    let long = vec![Position::Text(0); 2049];
    assert!(matches!(model.prefill(&mut cache, &long), Err(ModelError::WindowFull { limit: 2048 })));
    assert_eq!(cache.positions(), 0, "a refused prompt leaves nothing");
    model.prefill(&mut cache, &[Position::Text(1)]).unwrap();
    step(&mut cache).unwrap();
    assert!(matches!(model.prefill(&mut cache, &[Position::Text(1)]), Err(ModelError::PromptAfterFrame)));
}

#[test]
fn the_window_ends_speech() {
    let model = model();
    let mut cache = model.new_cache().unwrap();
    model.prefill(&mut cache, &vec![Position::Text(1); 2047]).unwrap();
    speak(&model, &mut cache, &sampling(0.9, 1), 2);
    assert_eq!(cache.positions(), 2048);
    let error = model.step(&mut cache, &sampling(0.9, 1), 2).unwrap_err();
    assert!(matches!(error, ModelError::WindowFull { limit: 2048 }), "{error}");
}

#[test]
fn nothing_follows_the_end_frame() {
    // Heads of zeros make every code 0.
    let silent = weights::tests::changed(|tensors| {
        for name in ["lm_head.weight", "depth_decoder.codebooks_head.weight"] {
            let zeros = tensors[name].zeros_like().unwrap();
            tensors.insert(name.into(), zeros);
        }
    });
    let model = Model::load(silent.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let mut cache = model.new_cache().unwrap();
    model.prefill(&mut cache, &prompt()).unwrap();
    assert_eq!(model.step(&mut cache, &sampling(0.0, 0), 0).unwrap(), END_FRAME);
    let after = model.step(&mut cache, &sampling(0.0, 0), 1);
    assert!(matches!(after, Err(ModelError::NothingToContinue)));
}

#[test]
fn broken_weights_are_noticed_when_speaking() {
    let broken = weights::tests::changed(|tensors| {
        let nan = (tensors["backbone_model.norm.weight"].zeros_like().unwrap() * f64::NAN).unwrap();
        tensors.insert("backbone_model.norm.weight".into(), nan);
    });
    let model = Model::load(broken.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let mut cache = model.new_cache().unwrap();
    model.prefill(&mut cache, &prompt()).unwrap();
    let error = model.step(&mut cache, &sampling(0.9, 0), 7).unwrap_err().to_string();
    assert_eq!(error, "the logits of frame 7, codebook 0 are not finite");
}
