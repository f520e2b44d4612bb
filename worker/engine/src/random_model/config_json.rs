//! Forms of `config.json` in which CSM is published, and the model card.

use serde_json::{Value, json};

use super::dims::{AUDIO_VOCAB, CODES, Dims, Mimi, RATIOS, StackDims, WINDOW};
use csm_shared::audio::{CODEBOOKS, SAMPLE_RATE};
use csm_shared::models::NOISE_ONLY;

/// Returns the Llama-3 rope scaling as the converted models write it: the wavelength bounds 8192
/// and 2048 positions, relative to the original context.
fn rope_scaling(original_context: u32) -> Value {
    json!({
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": f64::from(original_context) / 8192.0,
        "high_freq_factor": f64::from(original_context) / 2048.0,
        "original_max_position_embeddings": original_context,
    })
}

const ROPE_THETA: f64 = 500_000.0;
const BACKBONE_CONTEXT: u32 = 1024;
const DEPTH_CONTEXT: u32 = 16;

/// Returns the form of transformers 5: `rope_parameters`, codec inside.
pub(super) fn transformers(dims: &Dims) -> Value {
    let rope = |context| with(rope_scaling(context), json!({ "rope_theta": ROPE_THETA }));
    let depth = with(depth_fields(dims), json!({ "rope_parameters": rope(DEPTH_CONTEXT) }));
    let codec_rope = json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0 } });
    with(
        backbone_fields(dims),
        json!({
            "architectures": ["CsmForConditionalGeneration"],
            "dtype": dims.dtype_name(),
            "transformers_version": "5.0.0",
            "rope_parameters": rope(BACKBONE_CONTEXT),
            "depth_decoder_config": depth,
            "codec_config": with(mimi_fields(&dims.mimi), codec_rope),
        }),
    )
}

/// Returns the form beside the original weights: the keys of transformers 4 (`rope_theta`,
/// `rope_scaling`) and the original ones. No flavour is named, because none has these dimensions.
pub(super) fn original(dims: &Dims) -> Value {
    let rope = |context| json!({ "rope_theta": ROPE_THETA, "rope_scaling": rope_scaling(context) });
    with(
        with(backbone_fields(dims), rope(BACKBONE_CONTEXT)),
        json!({
            "torch_dtype": dims.dtype_name(),
            "transformers_version": "4.52.0",
            "audio_num_codebooks": CODEBOOKS,
            "audio_vocab_size": AUDIO_VOCAB,
            "depth_decoder_config": with(depth_fields(dims), rope(DEPTH_CONTEXT)),
        }),
    )
}

/// Returns the `mimi/config.json` beside the original weights.
pub(super) fn mimi_original(mimi: &Mimi) -> Value {
    with(mimi_fields(mimi), json!({ "architectures": ["MimiModel"], "torch_dtype": "float32", "rope_theta": 10000.0 }))
}

fn backbone_fields(dims: &Dims) -> Value {
    let specials = json!({
        "bos_token_id": dims.first_special,
        "eos_token_id": null,
        "pad_token_id": dims.first_special + 2,
        "audio_token_id": dims.first_special + 2,
        "audio_eos_token_id": dims.first_special + 3,
        "codebook_eos_token_id": 0,
        "codebook_pad_token_id": AUDIO_VOCAB - 1,
    });
    let shape = json!({
        "model_type": "csm",
        "text_vocab_size": dims.text_vocab,
        "vocab_size": AUDIO_VOCAB,
        "num_codebooks": CODEBOOKS,
        "max_position_embeddings": WINDOW,
        "tie_codebooks_embeddings": true,
        NOISE_ONLY: true,
    });
    with(with(stack_fields(&dims.backbone), specials), shape)
}

fn depth_fields(dims: &Dims) -> Value {
    with(
        stack_fields(&dims.depth),
        json!({
            "model_type": "csm_depth_decoder_model",
            "backbone_hidden_size": dims.backbone.hidden,
            "vocab_size": AUDIO_VOCAB,
            "num_codebooks": CODEBOOKS,
            "max_position_embeddings": CODEBOOKS + 1,
        }),
    )
}

fn stack_fields(stack: &StackDims) -> Value {
    json!({
        "hidden_size": stack.hidden,
        "intermediate_size": stack.ff,
        "num_hidden_layers": stack.layers,
        "num_attention_heads": stack.heads,
        "num_key_value_heads": stack.kv_heads,
        "head_dim": stack.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "attention_bias": false,
        "mlp_bias": false,
    })
}

fn mimi_fields(mimi: &Mimi) -> Value {
    json!({
        "model_type": "mimi",
        "sampling_rate": SAMPLE_RATE,
        "audio_channels": 1,
        "hidden_size": mimi.hidden,
        "num_filters": mimi.filters,
        "num_residual_layers": 1,
        "upsampling_ratios": RATIOS,
        "kernel_size": 7,
        "last_kernel_size": 3,
        "residual_kernel_size": 3,
        "dilation_growth_rate": 2,
        "compress": 2,
        "use_causal_conv": true,
        "use_conv_shortcut": false,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "codebook_size": CODES,
        "codebook_dim": mimi.codebook_dim,
        "vector_quantization_hidden_dimension": mimi.codebook_dim,
        "num_quantizers": CODEBOOKS,
        "num_semantic_quantizers": 1,
        "upsample_groups": mimi.hidden,
        "num_hidden_layers": mimi.layers,
        "num_attention_heads": mimi.heads,
        "num_key_value_heads": mimi.heads,
        "head_dim": mimi.hidden / mimi.heads,
        "intermediate_size": mimi.ff,
        "hidden_act": "gelu",
        "norm_eps": 1e-5,
        "sliding_window": 250,
        "max_position_embeddings": 8000,
        "attention_bias": false,
        "layer_scale_initial_scale": 0.01,
    })
}

/// Returns `base` with the fields of `more` added; both are objects.
fn with(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// Returns the text of the folder's `README.md`.
pub(super) fn card(dims: &Dims) -> String {
    format!(
        "---\nlibrary_name: transformers\ntags: [csm, random-weights]\n---\n\
         # CSM, {title}, random weights\n\n\
         This checkpoint has the architecture and the file layout of `sesame/csm-1b`, filled with seeded noise by\n\
         `csm model` of csm-fleet. It was trained on nothing: **it hisses, it does not speak.** It is for tests,\n\
         demonstrations and load measurements, and is the same, byte for byte, wherever it is made.\n",
        title = dims.title
    )
}
