//! Problems in the shape of OpenAI's API.
//!
//! | member | value |
//! |---|---|
//! | `message` | the problem's detail |
//! | `type` | `invalid_request_error`, `rate_limit_error` (429) or `server_error` (5xx) |
//! | `param` | the field, under its name in OpenAI's API |
//! | `code` | the problem's code, or OpenAI's own for a model that is not known |
//!
//! OpenAI answers 400 to values that the other routes of this gateway answer with 422. Its clients
//! obey `x-should-retry`, `retry-after` and `retry-after-ms`.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::catalogue::ProblemCode;
use super::{Problem, ProblemParts};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Fields of jobs with other names in OpenAI's API.
const PARAMS: [(&str, &str); 2] = [("text", "input"), ("format", "response_format")];

/// Shape of the problems of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorShape {
    /// Shape of OpenAI's API.
    OpenAi,
    /// Shape of Cartesia's API.
    Cartesia,
    /// Shape of Deepgram's API.
    Deepgram,
    /// Shape of ElevenLabs' API.
    ElevenLabs,
}

impl Problem {
    /// Reports that no model has this name.
    pub(crate) fn no_model(name: &str) -> Self {
        let detail = format!("The model {} does not exist here.", super::echoed(name));
        let mut problem = Self::with_status(ProblemCode::Malformed, StatusCode::NOT_FOUND, detail);
        problem.0.extra.field = Some("model".to_owned());
        problem
    }

    /// Returns the problem's code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.kind.code
    }

    /// Returns the problem as the JSON document of OpenAI's API.
    pub(crate) fn openai_document(&self, request_id: &str) -> Value {
        let ProblemParts { detail, extra, .. } = &*self.0;
        let status = self.openai_status();
        let kind = match status.as_u16() {
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let param = extra.field.as_deref().map(|field| {
            let renamed = PARAMS.iter().find(|(name, _)| *name == field);
            renamed.map_or(field, |(_, param)| param)
        });
        let unknown_model = param == Some("model") && status == StatusCode::NOT_FOUND;
        let code = if unknown_model { "model_not_found" } else { extra.code };
        let message = match (param, extra.field.as_deref()) {
            (Some(param), Some(field)) if param != field => match detail.strip_prefix(field) {
                Some(rest) => format!("{param}{rest}"),
                None => detail.clone(),
            },
            _ => detail.clone(),
        };
        json!({"error": {"message": message, "type": kind, "param": param, "code": code, "request_id": request_id}})
    }

    /// Returns the answer in OpenAI's shape.
    pub(super) fn openai_response(&self, request_id: &str) -> Response {
        let status = self.openai_status();
        let mut response = (status, Json(self.openai_document(request_id))).into_response();
        let headers = response.headers_mut();
        headers.extend(self.0.headers.clone());
        let again = matches!(status.as_u16(), 408 | 409 | 429 | 500..) && self.0.kind.code != "deadline_too_near";
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(if again { "true" } else { "false" }));
        let seconds = self.0.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER_MS, (seconds * 1_000).into());
        }
        response
    }

    fn openai_status(&self) -> StatusCode {
        if self.0.status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { self.0.status }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.detail)
    }
}
