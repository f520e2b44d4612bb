//! Problems in the shape of ElevenLabs' API: `{"detail": {"status", "message", "request_id"}}`.
//!
//! `status` is the problem's code, or ElevenLabs' own for a voice that is not known.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Problem, ProblemParts};

impl Problem {
    /// Returns the answer in ElevenLabs' shape.
    pub(super) fn elevenlabs_response(&self, request_id: &str) -> Response {
        let ProblemParts { detail, extra, status, headers, .. } = &*self.0;
        let unknown_voice = extra.field.as_deref() == Some("voice_id") && *status == StatusCode::NOT_FOUND;
        let code = if unknown_voice { "voice_not_found" } else { extra.code };
        // The text has another name where the speech is made.
        let renamed = detail.strip_prefix("input").filter(|_| extra.field.as_deref() == Some("input"));
        let message = renamed.map_or_else(|| detail.clone(), |rest| format!("text{rest}"));
        let document = json!({"detail": {"status": code, "message": message, "request_id": request_id}});
        let mut response = (*status, Json(document)).into_response();
        response.headers_mut().extend(headers.clone());
        response
    }
}
