//! Requests that several tests send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::Clip;
use serde_json::{Value, json};

/// Request of the integration that the compatible routes replace.
pub(crate) const OLD_REQUEST: &str =
    r#"{"text":"Hello from Sesame TTS!","speaker":0,"max_audio_length_ms":10000,"temperature":0.9,"topk":50}"#;

/// Returns a request with a short limit.
pub(crate) fn say(text: &str) -> String {
    json!({ "text": text, "max_audio_length_ms": 1_000 }).to_string()
}

/// Returns a context segment of `frames` frames.
pub(crate) fn segment(frames: usize) -> Value {
    let wav = Clip::from_samples(vec![99; frames * 1_920]).to_wav();
    json!({ "text": "Good morning.", "speaker": 1, "audio": BASE64.encode(wav) })
}

/// Encodes bytes as base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Decodes base64.
pub(crate) fn decode(base64: &str) -> Vec<u8> {
    BASE64.decode(base64).unwrap()
}
