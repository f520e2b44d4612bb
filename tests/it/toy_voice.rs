//! The embedded toy voice beside the reference implementations: the package tokenizers spells its
//! texts alike, and transformers draws the same greedy codes. `train/reference.py` makes the golden
//! file.

use std::path::Path;

use csm_engine::trace::{TraceOptions, trace};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};
use csm_shared::prompt::PromptTokenizer;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<GoldenText>,
    codes: Vec<GoldenSpeech>,
}

#[derive(Deserialize)]
struct GoldenText {
    speaker: u32,
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct GoldenSpeech {
    speaker: u32,
    text: String,
    codes: Vec<Vec<u32>>,
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(csm_testing::golden("toy_voice.json")).unwrap()).unwrap()
}

#[test]
fn texts_are_spelt_as_the_reference_tokenizer_spells_them() {
    let folder = tempfile::tempdir().unwrap();
    csm_tiny::write(folder.path()).unwrap();
    let tokenizer = PromptTokenizer::from_folder(folder.path()).unwrap();
    for GoldenText { speaker, text, ids } in golden().ids {
        assert_eq!(tokenizer.text_ids(speaker, &text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn greedy_codes_are_those_of_the_reference_implementation() {
    let folder = tempfile::tempdir().unwrap();
    csm_tiny::write(folder.path()).unwrap();
    let spoken = golden().codes;
    assert!(spoken.iter().any(|speech| speech.codes.len() == 25));
    for GoldenSpeech { speaker, text, codes } in spoken {
        let out = folder.path().join("trace.safetensors");
        assert_eq!(traced_codes(folder.path(), &out, speaker, &text, codes.len() as u32), codes, "{text}");
    }
}

fn traced_codes(folder: &Path, out: &Path, speaker: u32, text: &str, frames: u32) -> Vec<Vec<u32>> {
    let sampling =
        Sampling { temperature: Temperature::new(0.0).unwrap(), topk: TopK::new(1).unwrap(), seed: Seed::new(0) };
    let (folder, out) = (folder.to_owned(), out.to_owned());
    let options = TraceOptions { folder, text: text.into(), speaker, context: Vec::new(), frames, sampling, out };
    trace(&options).unwrap();
    let tensors = candle_core::safetensors::load(&options.out, &candle_core::Device::Cpu).unwrap();
    tensors["codes"].to_vec2().unwrap()
}
