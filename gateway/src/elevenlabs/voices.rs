//! `GET /v1/voices` and `/v1/voices/{id}`: the shipped voices, in ElevenLabs' shape.

use axum::Json;
use axum::extract::Path;
use csm_shared::job::VoiceName;
use serde_json::{Value, json};

use super::options::voice_named;
use crate::http::Problem;

/// Answers with all voices.
pub(crate) async fn voices() -> Json<Value> {
    let voices: Vec<_> = VoiceName::ALL.iter().copied().map(document).collect();
    Json(json!({"voices": voices}))
}

/// Answers with one voice.
pub(crate) async fn voice(Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(document(voice_named(&name)?)))
}

fn document(voice: VoiceName) -> Value {
    json!({
        "voice_id": voice.name(), "name": voice.name(), "category": "premade", "labels": {"language": "en"},
        "description": format!("Speaker {} with a prompt of its own", voice.speaker()),
    })
}
