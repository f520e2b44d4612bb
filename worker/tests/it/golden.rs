//! Golden values: the worker against Hugging Face transformers, on the same files of a small CSM
//! (`tests/golden/README.md`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use csm_engine::codec::Codec;
use csm_engine::model::position::segment;
use csm_engine::model::{LoadOptions, Model, Position, Row};
use csm_shared::audio::{CODEBOOKS, Clip, FRAME_SAMPLES, Frame};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};
use csm_shared::prompt::PromptTokenizer;
use csm_testing::golden;
use serde_json::Value;

/// Largest difference of a logit, relative to the largest magnitude of its row.
const LOGIT_TOLERANCE: f32 = 1e-4;
/// Largest difference of a sample, relative to full scale.
const PCM_TOLERANCE: f32 = 1e-4;

fn values() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden("golden.safetensors"), &Device::Cpu).unwrap()
}

fn description() -> Value {
    serde_json::from_slice(&std::fs::read(golden("golden.json")).unwrap()).unwrap()
}

fn frames(codes: &Tensor) -> Vec<Frame> {
    let rows = codes.to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
    rows.into_iter().map(|row| row.try_into().unwrap()).collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec1().unwrap()
}

fn clip(name: &str) -> Vec<f32> {
    Clip::from_wav(&std::fs::read(golden(name)).unwrap()).unwrap().to_f32()
}

fn load_codec(folder: &str) -> Codec {
    Codec::load(&golden(folder), &Device::Cpu, &mut |_| {}).unwrap()
}

fn load_model(folder: &Path) -> Model {
    Model::load(folder, &Device::Cpu, &LoadOptions::f32(2), &mut |_| {}).unwrap()
}

fn greedy(frame_index: u32) -> Row {
    let sampling =
        Sampling { temperature: Temperature::new(0.0).unwrap(), topk: TopK::new(50).unwrap(), seed: Seed::new(0) };
    Row { slot: 1, sampling, frame_index }
}

/// Returns a copy of the transformers folder with the config of transformers 4.x.
fn older_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("config.4x.json", "config.json"), ("model.safetensors", "model.safetensors")] {
        std::fs::copy(golden("hf").join(from), folder.path().join(to)).unwrap();
    }
    folder
}

/// Builds a case's prompt from its text: tokenizer, Mimi and prompt builder together.
fn prompt(case: &str, tokenizer: &PromptTokenizer, codec: &Codec) -> Vec<Position> {
    let description = description();
    let turns = description[case]["segments"].as_array().unwrap().clone();
    turns
        .iter()
        .flat_map(|turn| {
            let speaker = turn["speaker"].as_u64().unwrap().try_into().unwrap();
            let ids = tokenizer.text_ids(speaker, turn["text"].as_str().unwrap()).unwrap();
            let recording = turn["audio"].as_str().map(|name| codec.encode(&clip(name)).unwrap());
            segment(&ids, recording.as_deref())
        })
        .collect()
}

/// Returns a case's prompt in the layout of the reference: column 32 is the text id, the others are
/// the codes.
fn reference_prompt(case: &str) -> Vec<Position> {
    let rows = values()[&format!("{case}.prompt")].to_vec2::<i64>().unwrap();
    let position = |row: &Vec<i64>| match u32::try_from(row[CODEBOOKS]) {
        Ok(id) => Position::Text(id),
        Err(_) => Position::Audio(std::array::from_fn(|codebook| u32::try_from(row[codebook]).unwrap())),
    };
    rows.iter().map(position).collect()
}

/// Returns the largest difference of two rows, relative to the largest magnitude of the expected
/// one.
fn relative_difference(got: &Tensor, expected: &Tensor) -> f32 {
    let largest = |tensor: Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest((got - expected).unwrap()) / largest(expected.clone())
}

fn largest_difference(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn assert_generates(folder: &Path, case: &str) {
    let mut model = load_model(folder);
    let values = values();
    let (logits, codes) = (&values[&format!("{case}.logits")], frames(&values[&format!("{case}.codes")]));
    model.prefill(1, &reference_prompt(case)).unwrap();
    for (index, expected) in (0..).zip(&codes) {
        let frame = model.step_traced(&greedy(index)).unwrap();
        if let Ok(rows) = logits.get(index as usize) {
            for codebook in 0..CODEBOOKS {
                let (got, expected) = (frame.logits.get(codebook).unwrap(), rows.get(codebook).unwrap());
                let difference = relative_difference(&got, &expected);
                assert!(difference < LOGIT_TOLERANCE, "{case} frame {index} codebook {codebook}: {difference}");
            }
        }
        assert_eq!(&frame.codes, expected, "{case} frame {index}");
    }
    assert_eq!(codes.len(), 25);
}

#[test]
fn text_ids_are_the_reference_tokenizers() {
    for folder in ["hf", "original"] {
        let tokenizer = PromptTokenizer::from_folder(&golden(folder)).unwrap();
        for prompt in description()["prompts"].as_array().unwrap() {
            let speaker = prompt["speaker"].as_u64().unwrap().try_into().unwrap();
            let ids = tokenizer.text_ids(speaker, prompt["text"].as_str().unwrap()).unwrap();
            assert_eq!(serde_json::json!(ids), prompt["ids"], "{}", prompt["text"]);
        }
    }
}

#[test]
fn prompts_are_the_references() {
    for folder in ["hf", "original"] {
        let tokenizer = PromptTokenizer::from_folder(&golden(folder)).unwrap();
        let codec = load_codec(folder);
        for case in ["text", "context"] {
            assert_eq!(prompt(case, &tokenizer, &codec), reference_prompt(case), "{folder} {case}");
        }
    }
}

#[test]
fn transformers_layout_speaks_as_the_reference() {
    assert_generates(&golden("hf"), "text");
    assert_generates(&golden("hf"), "context");
}

#[test]
fn transformers_layout_with_an_older_config_speaks_as_the_reference() {
    let folder = older_folder();
    assert_generates(folder.path(), "text");
    assert_generates(folder.path(), "context");
}

#[test]
fn original_layout_speaks_as_the_reference() {
    assert_generates(&golden("original"), "text");
    assert_generates(&golden("original"), "context");
}

#[test]
fn both_layouts_give_the_same_logits() {
    let first_frame = |folder: &str| {
        let mut model = load_model(&golden(folder));
        model.prefill(1, &reference_prompt("context")).unwrap();
        let logits = model.step_traced(&greedy(0)).unwrap().logits;
        logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(first_frame("hf"), first_frame("original"));
}

#[test]
fn mimi_encodes_the_references_codes() {
    let values = values();
    for folder in ["hf", "original"] {
        let codec = load_codec(folder);
        for name in ["context", "long"] {
            let codes = codec.encode(&clip(&format!("{name}.wav"))).unwrap();
            assert_eq!(codes, frames(&values[&format!("mimi.{name}.codes")]), "{folder} {name}");
        }
    }
}

#[test]
fn mimi_decodes_the_references_sound() {
    let values = values();
    for folder in ["hf", "original"] {
        let codec = load_codec(folder);
        for (codes, audio) in [("mimi.decode.codes", "mimi.decode.audio"), ("text.codes", "text.audio")] {
            let pcm = codec.decode(&frames(&values[codes])).unwrap();
            let difference = largest_difference(&pcm, &floats(&values[audio]));
            assert!(difference < PCM_TOLERANCE, "{folder} {codes}: {difference}");
        }
    }
}

#[test]
fn streams_decode_the_references_sound_side_by_side() {
    let values = values();
    let codec = load_codec("hf");
    let cases = [("mimi.decode.codes", "mimi.decode.audio"), ("text.codes", "text.audio")];
    let mut decoder = codec.new_decoder(cases.len(), 1);
    let mut sounds = vec![Vec::new(); cases.len()];
    for index in 0..30 {
        let frames = cases.map(|(codes, _)| frames(&values[codes]).get(index).copied());
        let rows: Vec<_> = (0..)
            .zip(frames.as_slice().iter())
            .filter_map(|(slot, frame)| Some((slot, std::slice::from_ref(frame.as_ref()?))))
            .collect();
        for ((slot, _), samples) in rows.iter().zip(decoder.push(&rows).unwrap()) {
            assert_eq!(samples.len(), FRAME_SAMPLES);
            sounds[*slot].extend(samples);
        }
    }
    for (pcm, (codes, audio)) in sounds.iter().zip(cases) {
        let difference = largest_difference(pcm, &floats(&values[audio]));
        assert!(difference < PCM_TOLERANCE, "{codes}: {difference}");
    }
}
