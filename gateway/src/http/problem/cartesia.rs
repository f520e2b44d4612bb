//! Problems in the shape of Cartesia's API.
//!
//! | member | value |
//! |---|---|
//! | `error_code`, `title`, `message` | the problem's code, title and detail |
//! | `error` | title and detail, as older versions of the API have them |
//! | `status_code` | HTTP status: 400 for values that the other routes answer with 422 |
//! | `field`, `value`, `limit` | the field under its name in Cartesia's API, the value, the limit |

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{Problem, ProblemParts};

/// Fields of jobs with other names in Cartesia's API.
const FIELDS: [(&str, &str); 4] = [
    ("text", "transcript"),
    ("input", "transcript"),
    ("sample_rate", "output_format.sample_rate"),
    ("speed", "generation_config.speed"),
];

impl Problem {
    /// Returns the problem as the JSON document of Cartesia's API.
    pub(crate) fn cartesia_document(&self, request_id: &str) -> Value {
        let ProblemParts { kind, detail, extra, .. } = &*self.0;
        let given = extra.field.as_deref();
        let renamed = given.and_then(|given| FIELDS.iter().find(|(name, _)| *name == given));
        let message = match renamed.and_then(|(name, field)| Some((field, detail.strip_prefix(name)?))) {
            Some((field, rest)) => format!("{field}{rest}"),
            None => detail.clone(),
        };
        let mut document = json!({
            "status_code": self.cartesia_status().as_u16(),
            "error_code": kind.code,
            "title": kind.title,
            "error": format!("{}: {message}", kind.title),
            "message": message,
            "request_id": request_id,
        });
        if let Some(field) = renamed.map(|(_, field)| *field).or(given) {
            document["field"] = field.into();
            (document["value"], document["limit"]) = (json!(extra.value), json!(extra.limit));
        }
        document
    }

    /// Returns the answer in Cartesia's shape.
    pub(super) fn cartesia_response(&self, request_id: &str) -> Response {
        let mut response = (self.cartesia_status(), Json(self.cartesia_document(request_id))).into_response();
        response.headers_mut().extend(self.0.headers.clone());
        response
    }

    fn cartesia_status(&self) -> StatusCode {
        if self.0.status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { self.0.status }
    }
}
