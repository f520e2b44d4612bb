//! `application/problem+json`, or an error object in OpenAI's shape, as one readable line.

use std::fmt;

use csm_shared::process::output::printable_line;
use serde::Deserialize;
use serde_json::Value;

/// Refusal in the gateway's own words. Every member may be missing, because a proxy may have
/// answered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct ApiProblem {
    /// HTTP status of the response, whatever the body says.
    #[serde(default)]
    pub(crate) status: u16,
    title: Option<String>,
    detail: Option<String>,
    field: Option<Value>,
    value: Option<Value>,
    limit: Option<Value>,
    request_id: Option<String>,
    /// Error object of the routes that follow OpenAI's.
    error: Option<Value>,
}

/// Error object as OpenAI's API has it.
#[derive(Deserialize)]
struct OpenAiError {
    message: Option<String>,
    param: Option<Value>,
}

impl ApiProblem {
    /// Reads the body of an answer with an error status. `request_id` comes from the response's
    /// header.
    pub(crate) fn read(status: u16, body: &[u8], request_id: Option<&str>) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_default();
        problem.status = status;
        let error = problem.error.take().and_then(|error| OpenAiError::deserialize(error).ok());
        if let Some(OpenAiError { message, param }) = error {
            (problem.title, problem.field) = (message, param);
        }
        if problem.request_id.is_none() {
            problem.request_id = request_id.map(str::to_owned);
        }
        problem
    }
}

impl fmt::Display for ApiProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable_line(self.title.as_deref().unwrap_or("the request was refused")))?;
        match (&self.field, &self.value, &self.limit) {
            (Some(field), Some(value), Some(limit)) => {
                write!(f, ": {} was {}, the limit is {}", plain(field), plain(value), plain(limit))?;
            }
            (Some(field), ..) => write!(f, ": {}", plain(field))?,
            _ => {}
        }
        if let (None, Some(detail)) = (&self.limit, &self.detail) {
            write!(f, ": {}", printable_line(detail))?;
        }
        write!(f, " (HTTP {}", self.status)?;
        if let Some(request_id) = &self.request_id {
            write!(f, ", request {}", printable_line(request_id))?;
        }
        f.write_str(")")
    }
}

/// Formats a JSON value for running text: one line, strings without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable_line(text),
        other => printable_line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_field_value_limit_and_request() {
        let body = br#"{"type":"about:blank","title":"Out of range","status":422,"detail":"speaker: 12 is not allowed",
            "code":"out_of_range","field":"speaker","value":"12","limit":"0 to 9","request_id":"r-1"}"#;
        assert_eq!(
            ApiProblem::read(422, body, None).to_string(),
            "Out of range: speaker was 12, the limit is 0 to 9 (HTTP 422, request r-1)"
        );
    }

    #[test]
    fn a_problem_without_a_field_says_its_detail() {
        let body = br#"{"title":"Unavailable","detail":"Redis\nis away"}"#;
        assert_eq!(
            ApiProblem::read(503, body, Some("r-2")).to_string(),
            "Unavailable: Redis is away (HTTP 503, request r-2)"
        );
    }

    #[test]
    fn an_error_in_openai_s_shape_says_its_message_and_its_parameter() {
        let body = br#"{"error":{"message":"No such file","type":"invalid_request_error","param":"input_file_id","code":null}}"#;
        let told = ApiProblem::read(404, body, Some("r-3")).to_string();
        assert_eq!(told, "No such file: input_file_id (HTTP 404, request r-3)");
        let body = br#"{"error":{"message":"Slow down","type":"rate_limit_error","param":null}}"#;
        assert_eq!(ApiProblem::read(429, body, None).to_string(), "Slow down (HTTP 429)");
    }

    #[test]
    fn a_hostile_server_cannot_command_the_terminal() {
        let body = br#"{"title":"\u001b]0;owned\u0007\nerror: none","field":"\u009b2J","request_id":"\u001b[31m"}"#;
        assert_eq!(
            ApiProblem::read(400, body, None).to_string(),
            r"\u001b]0;owned\u0007 error: none: \u009b2J (HTTP 400, request \u001b[31m)"
        );
    }

    #[test]
    fn any_other_body_still_gives_the_status() {
        for body in [&b"<html>"[..], b"", b"[]", b"7", br#"{"error":"away"}"#] {
            assert_eq!(ApiProblem::read(502, body, None).to_string(), "the request was refused (HTTP 502)");
        }
    }
}
