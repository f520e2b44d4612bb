#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::super::rope::inverse_frequencies;
use super::*;

/// `(pair, radians per position)` of [`newer`]'s backbone, printed from transformers 5.23.
const FREQUENCIES: [(usize, f32); 12] = [
    (0, 1.0),
    (1, 0.663_601_3),
    (8, 0.037_606_03),
    (12, 0.007_292_665),
    (13, 0.004_839_421),
    (14, 0.003_211_446),
    (15, 0.001_290_548),
    (16, 0.000_429_556_7),
    (17, 9.708_286e-5),
    (18, 1.946_163_9e-5),
    (20, 8.570_256e-6),
    (31, 9.418_306e-8),
];

/// Returns the published config, as transformers 5.x writes it.
fn newer() -> Value {
    let rope = |low: f64, high: f64, original: u32| {
        json!({"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": low,
               "high_freq_factor": high, "original_max_position_embeddings": original})
    };
    json!({
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "max_position_embeddings": 2048, "vocab_size": 2051, "text_vocab_size": 128_256, "num_codebooks": 32,
        "attention_bias": false, "mlp_bias": false, "rope_parameters": rope(0.125, 0.5, 1024),
        "depth_decoder_config": {
            "hidden_size": 1024, "intermediate_size": 8192, "num_hidden_layers": 4, "num_attention_heads": 8,
            "num_key_value_heads": 2, "head_dim": 128, "rms_norm_eps": 1e-5, "vocab_size": 2051, "num_codebooks": 32,
            "backbone_hidden_size": 2048, "rope_parameters": rope(0.001_953_125, 0.007_812_5, 16)
        },
        "codec_config": {"codebook_size": 2048}
    })
}

/// Returns the same config, as transformers 4.x writes it.
fn older() -> Value {
    let mut config = newer();
    let move_rope = |object: &mut Value| {
        let mut rope = object.as_object_mut().unwrap().remove("rope_parameters").unwrap();
        object["rope_theta"] = rope.as_object_mut().unwrap().remove("rope_theta").unwrap();
        object["rope_scaling"] = rope;
    };
    move_rope(&mut config);
    move_rope(&mut config["depth_decoder_config"]);
    config
}

fn flavours() -> Value {
    json!({"backbone_flavor": "llama-1B", "decoder_flavor": "llama-100M", "text_vocab_size": 128_256,
           "audio_vocab_size": 2051, "audio_num_codebooks": 32})
}

fn refused(config: &Value) -> String {
    CsmConfig::from_json(config, None).unwrap_err().to_string()
}

#[test]
fn all_three_forms_of_the_published_shape_agree() {
    let read = CsmConfig::from_json(&newer(), None).unwrap();
    assert_eq!(read, CsmConfig::from_json(&older(), None).unwrap());
    let original = CsmConfig::from_json(&flavours(), None).unwrap();
    for (a, b) in [(&read.backbone, &original.backbone), (&read.depth, &original.depth)] {
        // The rope numbers differ as written; the frequencies are the same.
        assert_eq!(inverse_frequencies(&a.rope, a.head_dim), inverse_frequencies(&b.rope, b.head_dim));
        assert_eq!(TransformerConfig { rope: b.rope.clone(), ..a.clone() }, *b);
    }
    assert_eq!((read.audio_vocab, read.codebook_size, read.max_positions), (2051, 2048, 2048));
}

#[test]
fn frequencies_are_those_of_llama_3() {
    let read = CsmConfig::from_json(&newer(), None).unwrap();
    let frequencies = inverse_frequencies(&read.backbone.rope, 64);
    for (index, expected) in FREQUENCIES {
        let relative = (frequencies[index] - expected).abs() / expected;
        assert!(relative < 3e-7, "{index}: {} for {expected}", frequencies[index]);
    }
}

#[test]
fn transformers_keys_win_over_flavours() {
    let mut both = newer();
    both.as_object_mut().unwrap().extend(flavours().as_object().unwrap().clone());
    both["hidden_size"] = json!(64);
    both["depth_decoder_config"]["backbone_hidden_size"] = json!(64);
    assert_eq!(CsmConfig::from_json(&both, None).unwrap().backbone.hidden, 64);
}

#[test]
fn no_scaling_is_a_form_too() {
    let mut plain = older();
    plain["rope_scaling"] = Value::Null;
    assert_eq!(CsmConfig::from_json(&plain, None).unwrap().backbone.rope.scaling, None);
    let mut plain = newer();
    plain["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 10_000.0});
    let rope = CsmConfig::from_json(&plain, None).unwrap().backbone.rope;
    assert_eq!(rope, RopeConfig { theta: 10_000.0, scaling: None });
}

#[test]
fn the_codec_beside_the_checkpoint_gives_the_codes() {
    let codec = json!({"codebook_size": 32});
    assert_eq!(CsmConfig::from_json(&flavours(), Some(&codec)).unwrap().codebook_size, 32);
}

#[test]
fn errors_name_the_key() {
    let change = |path: &str, value: Value| {
        let mut config = newer();
        *config.pointer_mut(path).unwrap() = value;
        refused(&config)
    };
    for (error, needle) in [
        (change("/depth_decoder_config/hidden_size", Value::Null), "depth_decoder_config.hidden_size: is missing"),
        (change("/num_hidden_layers", json!("many")), "num_hidden_layers: has an unusable value: \"many\""),
        (change("/num_hidden_layers", json!(0)), "num_hidden_layers"),
        (change("/num_codebooks", json!(16)), "num_codebooks: is 16, only 32"),
        (change("/hidden_act", json!("gelu")), "hidden_act: is \"gelu\""),
        (change("/rope_parameters/rope_type", json!("yarn")), "rope_parameters.rope_type: yarn is not one of"),
        (change("/rope_parameters/factor", Value::Null), "rope_parameters.factor: is missing"),
        (change("/num_key_value_heads", json!(5)), "num_key_value_heads: 5 does not divide 32"),
        (change("/head_dim", json!(63)), "head_dim: 63 is not even"),
        (change("/depth_decoder_config", json!(3)), "depth_decoder_config: is not an object"),
        (change("/depth_decoder_config/backbone_hidden_size", json!(7)), "backbone_hidden_size: is 7, only 2048"),
        (change("/codec_config/codebook_size", json!(4096)), "codebook_size: is above"),
        (refused(&json!({"text_vocab_size": 1})), "backbone_flavor: is missing"),
        (refused(&json!([])), "(root)"),
    ] {
        assert!(error.contains(needle), "{error:?} lacks {needle:?}");
    }
    let mut unknown = flavours();
    unknown["decoder_flavor"] = json!("llama-8B");
    assert!(refused(&unknown).contains("decoder_flavor: llama-8B is not one of"));
}
