#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;

use candle_core::Device;
use csm_testing::golden;

use super::super::{LoadOptions, Model};
use super::*;
use crate::weights::weights_sha256;

/// Copies the golden model (transformers layout) with changed tensors.
pub(crate) fn changed(change: impl FnOnce(&mut HashMap<String, Tensor>)) -> tempfile::TempDir {
    let from = golden("hf");
    let mut tensors = candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    std::fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    folder
}

fn load(folder: &Path) -> Result<Model, String> {
    Model::load(folder, &Device::Cpu, &LoadOptions::f32(1), &mut |_| {}).map_err(|error| error.to_string())
}

fn refused(folder: &Path) -> String {
    load(folder).err().unwrap()
}

/// Output of `sha256sum a b | sha256sum`, if both files hold "abc".
const SHA256_OF_LISTING: &str = "6e0534855d1d183250459e82c311fb77578cf75019787625a10154399462260d";
const NORM: &str = "backbone_model.norm.weight";
const QUERY: &str = "depth_decoder.model.layers.1.self_attn.q_proj.weight";
const BACKBONE_AUDIO: &str = "backbone_model.embed_tokens.embed_audio_tokens.weight";
const DEPTH_AUDIO: &str = "depth_decoder.model.embed_tokens.weight";

#[test]
fn wrong_tensors_are_all_named() {
    let folder = changed(|tensors| {
        tensors.remove(NORM);
        let transposed = tensors[QUERY].narrow(0, 0, 47).unwrap().contiguous().unwrap();
        tensors.insert(QUERY.into(), transposed);
        let whole = tensors["lm_head.weight"].to_dtype(DType::I64).unwrap();
        tensors.insert("lm_head.weight".into(), whole);
    });
    let error = refused(folder.path());
    for needle in [
        format!("{NORM} [48] is missing"),
        format!("{QUERY} has shape [47, 32], the config says [48, 32]"),
        "lm_head.weight holds I64, not floating-point numbers".to_owned(),
    ] {
        assert!(error.contains(&needle), "{error:?} lacks {needle:?}");
    }
}

#[test]
fn a_long_list_of_problems_is_cut() {
    let folder = changed(|tensors| tensors.retain(|name, _| !name.contains("layers.") || name.contains("q_proj")));
    let error = refused(folder.path());
    assert!(error.contains("is missing") && error.contains("; and 32 more"), "{error}");
}

#[test]
fn strangers_are_refused() {
    let folder = changed(|tensors| tensors.retain(|name, _| name.starts_with("codec_model")));
    assert!(refused(folder.path()).contains("no CSM checkpoint"));
    let empty = tempfile::tempdir().unwrap();
    std::fs::copy(golden("hf").join("config.json"), empty.path().join("config.json")).unwrap();
    assert!(refused(empty.path()).contains("lacks model.safetensors"));
    std::fs::write(empty.path().join("model.safetensors"), b"not weights").unwrap();
    assert!(refused(empty.path()).contains("model.safetensors"));
}

#[test]
fn a_tied_audio_table_may_be_stored_under_either_name() {
    let first_hidden = |folder: &Path| {
        let (backbone, depth) = audio_tables(folder);
        (sum(&backbone), sum(&depth))
    };
    let tied = golden("hf");
    let expected = first_hidden(&tied);
    assert_eq!(expected.0.to_bits(), expected.1.to_bits());
    let renamed = changed(|tensors| {
        let table = tensors.remove(DEPTH_AUDIO).unwrap();
        tensors.insert(BACKBONE_AUDIO.into(), table);
    });
    assert_eq!(first_hidden(renamed.path()), expected);
    let untied = changed(|tensors| {
        let twice = (&tensors[DEPTH_AUDIO] * 2.0).unwrap();
        tensors.insert(BACKBONE_AUDIO.into(), twice);
    });
    assert_eq!(first_hidden(untied.path()), (expected.0 * 2.0, expected.1));
    let neither = changed(|tensors| {
        tensors.remove(DEPTH_AUDIO);
    });
    assert!(refused(neither.path()).contains(BACKBONE_AUDIO));
}

fn audio_tables(folder: &Path) -> (Tensor, Tensor) {
    let config = CsmConfig::from_folder(folder).unwrap();
    let mut silent = |_| {};
    let mut weights = Weights::open(folder, &config, &mut silent).unwrap();
    weights.audio_embeddings(DType::F32).unwrap()
}

fn sum(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().sum_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_checkpoint_in_parts_is_the_same_checkpoint() {
    let whole = golden("hf");
    let folder = tempfile::tempdir().unwrap();
    let tensors = candle_core::safetensors::load(whole.join("model.safetensors"), &Device::Cpu).unwrap();
    let (first, second): (HashMap<_, _>, HashMap<_, _>) =
        tensors.into_iter().partition(|(name, _)| name.starts_with("backbone"));
    let mut map = serde_json::Map::new();
    for (file, part) in [("model-00001-of-00002.safetensors", first), ("model-00002-of-00002.safetensors", second)] {
        map.extend(part.keys().map(|name| (name.clone(), file.into())));
        candle_core::safetensors::save(&part, folder.path().join(file)).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    std::fs::copy(whole.join("config.json"), folder.path().join("config.json")).unwrap();
    assert!(load(folder.path()).is_ok());

    let missing = folder.path().join("model-00002-of-00002.safetensors");
    std::fs::remove_file(&missing).unwrap();
    assert!(refused(folder.path()).contains("model-00002-of-00002.safetensors"));
    let index = serde_json::json!({"weight_map": {"a": "../model.safetensors"}});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(refused(folder.path()).contains("only name files beside it"));
}

#[test]
fn progress_ends_with_everything() {
    for folder in ["hf", "original"] {
        let mut seen = Vec::new();
        Model::load(&golden(folder), &Device::Cpu, &LoadOptions::f32(1), &mut |progress| seen.push(progress)).unwrap();
        let last = seen.last().unwrap();
        assert_eq!((last.tensors_done, last.bytes_done), (last.tensors_total, last.bytes_total), "{folder}");
        assert_eq!(last.tensors_total, 5 + 2 + 9 * 5, "{folder}");
        assert_eq!(seen.len(), last.tensors_total + 1);
    }
}

#[test]
fn one_file_hashes_as_sha256sum_does() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), b"abc").unwrap();
    let hash = weights_sha256(folder.path()).unwrap();
    assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    // sha256sum of the two lines that `sha256sum a b` prints, both files holding "abc".
    for part in ["a", "b"] {
        std::fs::write(folder.path().join(part), b"abc").unwrap();
    }
    let index = r#"{"weight_map": {"y": "b", "x": "a", "z": "b"}}"#;
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let hash = weights_sha256(folder.path()).unwrap();
    assert_eq!(hash, SHA256_OF_LISTING);
    std::fs::create_dir(folder.path().join("mimi")).unwrap();
    std::fs::write(folder.path().join("mimi/model.safetensors"), b"abc").unwrap();
    assert_ne!(weights_sha256(folder.path()).unwrap(), SHA256_OF_LISTING, "a codec of its own counts");
}
