//! Request ids: the outermost layer gives each request one, answers with it, and writes problems.
//! The layer also sets the header that every answer carries.

use axum::extract::Request;
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use crate::http::problem;

/// Header that carries the id, in requests and answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a caller.
const LENGTH_MAX: usize = 128;

/// Id of a request, kept in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// Takes the caller's id if it is a plain word, else makes one.
pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_plain(id));
    let id = given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = problem::render(next.run(request).await, &id);
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    // No browser may take an answer for another kind of file than its media type says.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Returns whether an id holds only letters, digits and a few signs, so that it cannot forge a line
/// of a log.
fn is_plain(id: &str) -> bool {
    (1..=LENGTH_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_taken_over() {
        assert!(is_plain("01JD-trace_7.a:b"));
        for bad in ["", "two words", "a\nb", "\u{1b}[31m", &"x".repeat(LENGTH_MAX + 1)] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
