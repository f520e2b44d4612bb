//! `info`: what this server offers.

use csm_shared::job::VoiceName;
use serde_json::{Value, json};

/// Returns the data of the event.
pub(super) fn info(model: &str) -> Value {
    let attribution = json!({"name": "Sesame", "url": "https://huggingface.co/sesame/csm-1b"});
    let version = env!("CARGO_PKG_VERSION");
    let voice = |voice: &VoiceName| {
        json!({
            "name": voice.name(), "description": voice.name(), "languages": ["en"], "installed": true,
            "attribution": attribution, "version": version,
        })
    };
    let voices: Vec<_> = VoiceName::ALL.iter().map(voice).collect();
    json!({"tts": [{
        "name": "csm-fleet", "description": format!("csm-fleet with {model}"), "attribution": attribution,
        "installed": true, "version": version, "supports_synthesize_streaming": true, "voices": voices,
    }]})
}
