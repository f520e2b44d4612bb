//! `GET /v1/models`, `/v1/models/{id}`, `/v1/audio/models` and `/v1/audio/voices`: lists in the
//! shapes that clients read.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use csm_shared::job::VoiceName;
use serde_json::{Value, json};

use super::request::{MODEL_ALIASES, is_known_model};
use crate::app::App;
use crate::http::Problem;

/// Moment that the lists give as the creation of the models: the release of CSM-1B, 2025-03-13.
const CREATED: u64 = 1_741_824_000;
/// Language of the voices.
const LANGUAGE: &str = "en";

/// Answers with the models: the loaded one, then the names under which clients ask for it.
pub(crate) async fn models(State(app): State<App>) -> Json<Value> {
    let data: Vec<_> = names(&app).iter().map(|name| entry(name)).collect();
    Json(json!({"object": "list", "data": data}))
}

/// Answers with one model.
pub(crate) async fn model(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    if !is_known_model(&id, &app.model_name) {
        return Err(Problem::no_model(&id));
    }
    let mut model = entry(&id);
    let voices: Vec<_> =
        VoiceName::ALL.iter().map(|voice| json!({"name": voice.name(), "language": LANGUAGE})).collect();
    model["voices"] = voices.into();
    Ok(Json(model))
}

/// Answers with the models for speech.
pub(crate) async fn audio_models(State(app): State<App>) -> Json<Value> {
    let models: Vec<_> = names(&app).iter().map(|name| json!({"id": name})).collect();
    Json(json!({"models": models}))
}

/// Answers with the shipped voices; with `?legacy=true` as a list of names.
pub(crate) async fn voices(State(app): State<App>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    if query.get("legacy").is_some_and(|legacy| legacy == "true") {
        return Json(VoiceName::ALL.iter().map(|voice| voice.name()).collect());
    }
    let own_speakers = app.window_check.model_kind().has_own_speakers();
    let voice = |voice: &VoiceName| {
        let (id, pitch) = (voice.name(), if voice.speaker().get() == 0 { "lower" } else { "higher" });
        let description = match own_speakers {
            true => format!("The {pitch} of the toy model's two voices"),
            false => format!("Speaker {} with a prompt of its own", voice.speaker()),
        };
        json!({"id": id, "name": id, "language": LANGUAGE, "description": description, "owner": "csm-fleet"})
    };
    let voices: Vec<Value> = VoiceName::ALL.iter().map(voice).collect();
    Json(json!({"object": "list", "voices": voices, "data": voices}))
}

fn names(app: &App) -> Vec<&str> {
    let aliases = MODEL_ALIASES.iter().copied().filter(|alias| *alias != app.model_name);
    std::iter::once(app.model_name.as_str()).chain(aliases).collect()
}

fn entry(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "csm-fleet"})
}
