//! The `tokenizer.json` of the random models: Llama-3's byte-level form with one id per byte and no
//! merges.

use serde_json::{Map, Value, json};

/// Special tokens that CSM uses, in the order of their ids.
pub(super) const SPECIALS: [&str; 4] = ["<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"];

/// Returns a tokenizer whose 256 byte tokens have the ids 0..256, and whose specials start at
/// `first_special`.
///
/// Like the published Llama-3 file, the tokenizer puts `<|begin_of_text|>` before a text that is
/// encoded with specials.
pub(super) fn json(first_special: usize) -> Value {
    let specials = || SPECIALS.iter().enumerate().map(|(offset, name)| (*name, first_special + offset));
    let mut vocab: Map<String, Value> =
        byte_letters().enumerate().map(|(id, letter)| (letter.to_string(), json!(id))).collect();
    // Ids after a gap are kept only if the vocabulary has them, so the vocabulary names the
    // specials too.
    vocab.extend(specials().map(|(name, id)| (name.to_owned(), json!(id))));
    let added: Vec<Value> = specials()
        .map(|(name, id)| {
            json!({ "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true })
        })
        .collect();
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let begin = json!({ "SpecialToken": { "id": SPECIALS[0], "type_id": 0 } });
    let first = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let second = json!({ "Sequence": { "id": "B", "type_id": 1 } });
    let begin_again = json!({ "SpecialToken": { "id": SPECIALS[0], "type_id": 1 } });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, first],
            "pair": [begin, first, begin_again, second],
            "special_tokens": { SPECIALS[0]: { "id": SPECIALS[0], "ids": [first_special], "tokens": [SPECIALS[0]] } },
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            // With `true`, a special token typed into a text would become its id.
            "ignore_merges": false,
            "vocab": vocab,
            "merges": [],
        },
    })
}

/// Returns the letter that byte-level BPE writes for each byte, in id order. Printable bytes stand
/// for themselves and come first; the others are the letters from U+0100 on.
fn byte_letters() -> impl Iterator<Item = char> {
    let printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let hidden = (0..=u8::MAX).filter(move |byte| !printable(byte)).count() as u32;
    let stand_ins = (0x100..0x100 + hidden).filter_map(char::from_u32);
    (0..=u8::MAX).filter(printable).map(char::from).chain(stand_ins)
}
