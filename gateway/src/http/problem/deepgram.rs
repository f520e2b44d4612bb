//! Problems in the shape of Deepgram's API.
//!
//! | member | value |
//! |---|---|
//! | `err_code`, `err_msg` | the problem's code and detail |
//! | `request_id` | id of the request |
//! | `field`, `value`, `limit` | the field under its name in Deepgram's API, the value, the limit |
//!
//! Deepgram answers 400 to values that the other routes of this gateway answer with 422.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Problem, ProblemParts};

/// Fields of jobs with other names in Deepgram's API.
const FIELDS: [(&str, &str); 2] = [("input", "text"), ("voice", "model")];

impl Problem {
    /// Returns the answer in Deepgram's shape.
    pub(super) fn deepgram_response(&self, request_id: &str) -> Response {
        let ProblemParts { detail, extra, status, headers, .. } = &*self.0;
        let given = extra.field.as_deref();
        let renamed = given.and_then(|given| FIELDS.iter().find(|(name, _)| *name == given));
        let message = match renamed.and_then(|(name, field)| Some((field, detail.strip_prefix(name)?))) {
            Some((field, rest)) => format!("{field}{rest}"),
            None => detail.clone(),
        };
        let mut document = json!({"err_code": extra.code, "err_msg": message, "request_id": request_id});
        if let Some(field) = renamed.map(|(_, field)| *field).or(given) {
            document["field"] = field.into();
            (document["value"], document["limit"]) = (json!(extra.value), json!(extra.limit));
        }
        let is_value = *status == StatusCode::UNPROCESSABLE_ENTITY;
        let status = if is_value { StatusCode::BAD_REQUEST } else { *status };
        let mut response = (status, Json(document)).into_response();
        response.headers_mut().extend(headers.clone());
        response
    }
}
