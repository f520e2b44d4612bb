//! Events to the caller.

use serde_json::{Value, json};
use uuid::Uuid;

use super::config::SpeechConfig;
use crate::http::Problem;

/// Returns a new id of a kind, such as `resp_...`.
pub(super) fn new_id(kind: &str) -> String {
    format!("{kind}_{}", Uuid::now_v7().simple())
}

/// Returns an event with the given members.
pub(super) fn event(kind: &str, members: Value) -> Value {
    let mut event = json!({"type": kind, "event_id": new_id("event")});
    if let (Some(all), Value::Object(members)) = (event.as_object_mut(), members) {
        all.extend(members);
    }
    event
}

/// Returns an event about a session.
pub(super) fn session_event(kind: &str, id: &str, model: &str, config: SpeechConfig) -> Value {
    let session = json!({
        "id": id,
        "object": "realtime.session",
        "type": "realtime",
        "model": model,
        "output_modalities": ["audio"],
        "audio": config.audio(),
    });
    event(kind, json!({"session": session}))
}

/// Returns the error for a message of the caller, whose id it names.
pub(super) fn error(problem: &Problem, code: Option<&str>, caused_by: Option<&str>, request_id: &str) -> Value {
    problem.report(request_id);
    let mut error = problem.openai_document(request_id)["error"].take();
    error["event_id"] = json!(caused_by);
    if let Some(code) = code {
        error["code"] = code.into();
    }
    event("error", json!({"error": error}))
}
