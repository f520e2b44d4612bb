//! Media type of a request's body.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use csm_shared::job::Invalid;

/// HTTP status of a body of another media type.
const STATUS: u16 = 415;

/// Refuses a body that is not announced as JSON.
///
/// A web page can send other media types to this gateway without asking the browser first, but JSON
/// only after a question (CORS preflight) that the gateway never answers with yes.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Invalid> {
    let given = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = given.as_deref().and_then(|given| given.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let shown = given.as_deref().unwrap_or("(missing)");
    Err(Invalid { status: STATUS, ..Invalid::malformed("Content-Type", shown, "application/json") })
}
