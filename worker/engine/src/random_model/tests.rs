#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::noise::{self, Fill};
use super::*;

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap()
}

fn shapes(bytes: &[u8]) -> BTreeMap<String, Vec<usize>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect()
}

/// Returns the rows of a two-dimensional f32 tensor.
fn rows(file: &SafeTensors<'_>, name: &str) -> Vec<Vec<u8>> {
    let view = file.tensor(name).unwrap();
    view.data().chunks(view.shape()[1] * 4).map(<[u8]>::to_vec).collect()
}

/// If these bytes change, every published number measured on the noise model changes too: change
/// them only on purpose.
#[test]
fn the_noise_model_is_the_same_bytes_everywhere() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_noise(one.path(), FolderLayout::Transformers).unwrap();
    make_noise(two.path(), FolderLayout::Transformers).unwrap();
    for name in ["model.safetensors", "config.json", "tokenizer.json", "README.md"] {
        assert_eq!(read(&one.path().join(name)), read(&two.path().join(name)), "{name}");
    }
    let digest = Sha256::digest(read(&one.path().join("model.safetensors")));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "de30da03224d5bc33e221ccaff497d5cce9d48738a8cae46859935099a70b8be");
    let rights = |name: &str| fs::metadata(one.path().join(name)).unwrap().permissions();
    assert_eq!(rights("model.safetensors"), rights("config.json"), "others may read it too");
}

#[test]
fn both_layouts_hold_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    make_noise(&original, FolderLayout::Original).unwrap();
    let (new, old) = (read(&folder.path().join("model.safetensors")), read(&original.join("model.safetensors")));
    let codec = read(&original.join("mimi/model.safetensors"));
    let (new, old, codec) = (
        SafeTensors::deserialize(&new).unwrap(),
        SafeTensors::deserialize(&old).unwrap(),
        SafeTensors::deserialize(&codec).unwrap(),
    );
    assert_eq!(new.len(), old.len() + codec.len());
    let same = |a: &str, b: &str| assert_eq!(new.tensor(a).unwrap().data(), old.tensor(b).unwrap().data(), "{b}");
    same("embed_text_tokens.weight", "text_embeddings.weight");
    same("depth_decoder.codebooks_head.weight", "audio_head");
    same("backbone_model.layers.2.mlp.down_proj.weight", "backbone.layers.2.mlp.w2.weight");
    same("depth_decoder.model.layers.1.self_attn.v_proj.weight", "decoder.layers.1.attn.v_proj.weight");
    same("depth_decoder.model.layers.1.post_attention_layernorm.weight", "decoder.layers.1.mlp_norm.scale");
    same("depth_decoder.model.norm.weight", "decoder.norm.scale");
    for name in codec.names() {
        let inside = new.tensor(&format!("codec_model.{name}")).unwrap();
        assert_eq!(inside.data(), codec.tensor(name).unwrap().data(), "{name}");
    }
    // Halves [0, 1, .. 5, 6, .. 11] of a head become pairs [0, 6, 1, 7, ..].
    let halves = rows(&new, "depth_decoder.model.layers.0.self_attn.k_proj.weight");
    let pairs = rows(&old, "decoder.layers.0.attn.k_proj.weight");
    assert_eq!(pairs[0], halves[0]);
    assert_eq!(pairs[1], halves[6]);
    assert_eq!(pairs[2], halves[1]);
    assert_eq!(pairs[11], halves[11]);
    assert_eq!(pairs[12 + 3], halves[12 + 7]);
}

#[test]
fn a_folder_that_holds_a_model_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), "mine").unwrap();
    let refused = make_noise(folder.path(), FolderLayout::Transformers);
    assert!(matches!(refused, Err(RandomModelError::AlreadyThere(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read(&folder.path().join("config.json")), b"mine");
}

#[test]
fn both_configs_say_the_same_rope() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    make_noise(&folder.path().join("original"), FolderLayout::Original).unwrap();
    let (new, old) = (json(&folder.path().join("config.json")), json(&folder.path().join("original/config.json")));
    for part in ["", "/depth_decoder_config"] {
        let at = |config: &Value, key: &str| config.pointer(&format!("{part}/{key}")).cloned().unwrap();
        assert_eq!(at(&new, "rope_parameters/rope_theta"), at(&old, "rope_theta"));
        for key in ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"] {
            assert_eq!(at(&new, &format!("rope_parameters/{key}")), at(&old, &format!("rope_scaling/{key}")), "{key}");
        }
        let factor = at(&new, "rope_parameters/low_freq_factor").as_f64().unwrap();
        let context = at(&new, "rope_parameters/original_max_position_embeddings").as_f64().unwrap();
        assert!((context / factor - 8192.0).abs() < 1e-9, "the published bound is 8192 positions");
    }
}

#[test]
fn the_tokenizer_has_one_id_a_byte_and_names_its_specials() {
    for first_special in [256, 128_000] {
        let text = tokenizer::json(first_special as usize).to_string();
        let tokenizer: Tokenizer = text.parse().unwrap();
        for (offset, name) in (0..).zip(tokenizer::SPECIALS) {
            assert_eq!(tokenizer.token_to_id(name), Some(first_special + offset), "{name}");
        }
        let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
        assert_eq!(ids("!~"), [0, 93]);
        assert_eq!(ids("[0]Zażółć 🔔\n").len(), "[0]Zażółć 🔔\n".len());
        assert_eq!(tokenizer.decode(&ids("Zażółć 🔔\n"), true).unwrap(), "Zażółć 🔔\n");
        assert_eq!(tokenizer.encode("a", true).unwrap().get_ids(), [first_special, 64]);
    }
}

#[test]
fn the_full_size_has_the_published_shapes() {
    let csm = tensors::csm(&dims::ONE_B);
    let weights = |tensors: &[Tensor]| -> usize {
        tensors.iter().map(|t| safetensors::View::shape(t).iter().product::<usize>()).sum()
    };
    let count = weights(&csm);
    assert!((1_552_000_000..1_554_000_000).contains(&count), "{count} CSM weights");
    assert!(csm.iter().all(|tensor| safetensors::View::dtype(tensor) == Dtype::BF16));
    let codec = tensors::codec(&dims::ONE_B.mimi);
    let count = weights(&codec);
    assert!((95_000_000..98_000_000).contains(&count), "{count} codec weights");
    assert!(codec.iter().all(|tensor| safetensors::View::dtype(tensor) == Dtype::F32));
}

#[test]
fn noise_has_the_stated_mean_and_deviation_in_either_dtype() {
    let fill = Fill::Noise { mean: 0.5, std: 0.25 };
    let floats: Vec<f32> = noise::bytes("a", fill, 100_000, Dtype::F32)
        .chunks(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let mean = floats.iter().sum::<f32>() / 1e5;
    let std = (floats.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e5).sqrt();
    assert!((mean - 0.5).abs() < 0.005 && (std - 0.25).abs() < 0.005, "{mean} {std}");
    // Neighbouring values are not correlated.
    let lag = floats.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f32>() / 1e5 / (std * std);
    assert!(lag.abs() < 0.02, "{lag}");
    let halves = noise::bytes("a", fill, 100_000, Dtype::BF16);
    for (half, float) in halves.chunks(2).zip(&floats) {
        assert_eq!(half::bf16::from_le_bytes(half.try_into().unwrap()), half::bf16::from_f32(*float));
    }
    assert_ne!(noise::bytes("b", fill, 8, Dtype::F32), noise::bytes("a", fill, 8, Dtype::F32));
}

#[test]
fn the_last_convolution_passes_no_offset() {
    let fill = Fill::NoOffset { std: 1.0, taps: 3 };
    let bytes = noise::bytes("last", fill, 3 * 5000, Dtype::F32);
    let floats: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert!(floats.chunks(3).all(|taps| taps.iter().sum::<f32>().abs() < 1e-5));
}

#[test]
fn tensor_names_match_what_transformers_saves() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let shapes = shapes(&read(&folder.path().join("model.safetensors")));
    assert_eq!(shapes.len(), 258, "{shapes:#?}");
    assert_eq!(shapes["depth_decoder.codebooks_head.weight"], [31, 48, 2051]);
    assert_eq!(shapes["depth_decoder.model.embed_tokens.weight"], [65_632, 64]);
    assert_eq!(shapes["codec_model.decoder.layers.2.conv.weight"], [64, 32, 16]);
    assert_eq!(shapes["codec_model.encoder.layers.12.conv.weight"], [64, 32, 16]);
    assert_eq!(shapes["codec_model.upsample.conv.weight"], [32, 1, 4]);
}
