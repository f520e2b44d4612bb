#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_testing::golden;

use super::*;

pub(super) fn codec() -> Codec {
    Codec::load(&golden("hf"), &Device::Cpu, &mut |_| {}).unwrap()
}

/// Returns frames that look random and differ by `salt`.
pub(super) fn frames(count: u32, salt: u32) -> Vec<Frame> {
    let salt = salt.wrapping_mul(7_919);
    let code = |frame: u32, codebook: u32| (frame * 2_654_435 + codebook * 40_503).wrapping_add(salt) / 13 % 64;
    (0..count).map(|frame| std::array::from_fn(|codebook| code(frame, codebook as u32))).collect()
}

#[test]
fn encoding_pads_with_silence_and_remembers_nothing() {
    let codec = codec();
    let pcm: Vec<f32> = (0..3000).map(|sample| (sample as f32 * 0.05).sin() * 0.3).collect();
    let mut padded = pcm.clone();
    padded.resize(2 * FRAME_SAMPLES, 0.0);
    let codes = codec.encode(&pcm).unwrap();
    assert_eq!(codes.len(), 2);
    assert_eq!(codes, codec.encode(&padded).unwrap());
    assert!(codec.encode(&[]).unwrap().is_empty());
    assert!(codec.decode(&[]).unwrap().is_empty());
}

#[test]
fn bad_input_is_named() {
    let codec = codec();
    let mut bad = frames(2, 0);
    bad[1][5] = 64;
    let error = codec.decode(&bad).unwrap_err().to_string();
    assert_eq!(error, "frame 1, codebook 5: code 64 is not below 64");
    let long = vec![0.0; (MAX_FRAMES + 1) * FRAME_SAMPLES];
    assert!(matches!(codec.encode(&long), Err(CodecError::TooLong { frames: 2049 })));
    assert!(matches!(codec.decode(&vec![[0; 32]; MAX_FRAMES + 1]), Err(CodecError::TooLong { .. })));
}

#[test]
fn memory_is_what_the_weights_and_the_slots_take() {
    let codec = codec();
    let file = std::fs::metadata(golden("hf").join("model.safetensors")).unwrap().len();
    // The small layers' matrices are padded, so they take more bytes than in the file.
    assert!((100_000..4 * file).contains(&codec.memory()), "{}", codec.memory());
    let (one, five) = (codec.new_decoder(1, 1).memory(), codec.new_decoder(5, 1).memory());
    // Keys and values of two layers, 50 places of 32 floats each, and the rest.
    assert!(one > 2 * 2 * 50 * 32 * 4 && five == 5 * one, "{one} {five}");
}

#[test]
fn progress_ends_with_everything() {
    for name in ["hf", "original"] {
        let mut seen = Vec::new();
        Codec::load(&golden(name), &Device::Cpu, &mut |progress| seen.push(progress)).unwrap();
        let last = seen.last().unwrap();
        assert!(last.tensors_total > 100 && last.bytes_total > 100_000, "{last:?}");
        assert_eq!((last.tensors_done, last.bytes_done), (last.tensors_total, last.bytes_total), "{name}");
        assert!(seen.is_sorted_by_key(|progress| progress.bytes_done));
    }
}

/// Loads the original layout's codec with a changed config, or without its file; returns the error.
fn changed(config: impl Fn(&mut serde_json::Value), file: bool) -> String {
    let copy = tempfile::tempdir().unwrap();
    let from = golden("original");
    std::fs::copy(from.join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
    let (beside, from) = (copy.path().join(CODEC_FOLDER), from.join(CODEC_FOLDER));
    std::fs::create_dir(&beside).unwrap();
    let mut json = read_json(&from.join(CONFIG_FILE)).unwrap();
    config(&mut json);
    std::fs::write(beside.join(CONFIG_FILE), json.to_string()).unwrap();
    if file {
        std::fs::copy(from.join(CODEC_FILE), beside.join(CODEC_FILE)).unwrap();
    }
    Codec::load(copy.path(), &Device::Cpu, &mut |_| {}).err().unwrap().to_string()
}

#[test]
fn a_codec_that_cannot_be_spoken_with_is_named() {
    let with = |key: &'static str, value: serde_json::Value| changed(|json| json[key] = value.clone(), true);
    for (error, needle) in [
        (changed(|_| (), false), "holds no codec"),
        (with("pad_mode", "replicate".into()), "pad_mode: is \"replicate\""),
        (with("sampling_rate", 16_000.into()), "sampling_rate: is 16000"),
        (with("num_quantizers", 16.into()), "num_quantizers: is below 32"),
        (with("upsampling_ratios", serde_json::json!([8, 5, 4, 4])), "upsampling_ratios: do not multiply to 960"),
        (with("sliding_window", serde_json::Value::Null), "sliding_window: is missing"),
        (with("num_hidden_layers", 3.into()), "encoder_transformer.layers.2"),
        (with("intermediate_size", 65.into()), "encoder_transformer.layers.0.mlp.fc1.weight"),
    ] {
        assert!(error.contains(needle), "{error:?} lacks {needle:?}");
    }
}
