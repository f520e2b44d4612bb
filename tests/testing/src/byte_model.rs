//! Small model folder: a byte-level tokenizer, one id a byte, and a config with the window.

use std::path::Path;

use serde_json::{Map, Value, json};

/// Positions of the model.
pub const MAX_POSITIONS: usize = 2_048;

/// Writes `config.json` and `tokenizer.json`.
pub fn write_model(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let config = json!({ "max_position_embeddings": MAX_POSITIONS });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer().to_string()).unwrap();
}

fn tokenizer() -> Value {
    let vocab: Map<String, Value> =
        byte_symbols().into_iter().enumerate().map(|(id, symbol)| (symbol.to_string(), json!(id))).collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [special(256, "<|begin_of_text|>"), special(257, "<|end_of_text|>")],
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    })
}

/// Returns the character of each byte in byte-level BPE: printable bytes stand for themselves, the
/// others for U+0100 and up.
fn byte_symbols() -> Vec<char> {
    let printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut spare = 0x100..;
    let mut symbol = |byte: u8| if printable(byte) { u32::from(byte) } else { spare.next().unwrap() };
    (0..=255).map(|byte| char::from_u32(symbol(byte)).unwrap()).collect()
}
