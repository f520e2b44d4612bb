//! The document of a problem: as an HTTP answer, or as a text message of a WebSocket.

use axum::http::Uri;
use axum::http::header::ALLOW;
use axum::response::{IntoResponse, Response};
use csm_shared::process::telemetry::REFUSED_TOTAL;
use problem_details::ProblemDetails;

use super::{ErrorShape, Problem, ProblemExtensions, ProblemParts};

impl Problem {
    /// Returns the document as a WebSocket text message; logs and counts as [`render`] does.
    pub(crate) fn to_message(&self, request_id: &str) -> String {
        self.report(request_id);
        serde_json::to_string(&self.document(request_id)).unwrap_or_default()
    }

    fn document(&self, request_id: &str) -> ProblemDetails<ProblemExtensions> {
        let parts = &*self.0;
        let mut extra = parts.extra.clone();
        extra.request_id = Some(request_id.to_owned());
        let mut document = ProblemDetails::new()
            .with_status(parts.status)
            .with_title(parts.kind.title)
            .with_detail(parts.detail.clone());
        if let Ok(uri) = Uri::try_from(parts.kind.path()) {
            document = document.with_type(uri);
        }
        document.with_extensions(extra)
    }

    /// Counts the problem, and logs it if it has a cause.
    pub(crate) fn report(&self, request_id: &str) {
        let ProblemParts { kind, status, cause, .. } = &*self.0;
        metrics::counter!(REFUSED_TOTAL, "code" => kind.code).increment(1);
        if let Some(cause) = cause {
            let (status, code) = (status.as_u16(), kind.code);
            tracing::error!(request = request_id, status, %code, error = %cause, "request failed");
        }
    }
}

/// Writes the problem that a response carries. A failed response without one is given one.
pub(crate) fn render(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let carried = response.extensions_mut().remove::<Problem>();
    let Some(problem) = carried.or_else(|| failed.then(|| Problem::unreadable(status))) else { return response };
    problem.report(request_id);
    match response.extensions().get() {
        Some(ErrorShape::OpenAi) => return problem.openai_response(request_id),
        Some(ErrorShape::Cartesia) => return problem.cartesia_response(request_id),
        Some(ErrorShape::Deepgram) => return problem.deepgram_response(request_id),
        Some(ErrorShape::ElevenLabs) => return problem.elevenlabs_response(request_id),
        None => {}
    }
    let mut rendered = problem.document(request_id).into_response();
    rendered.headers_mut().extend(problem.0.headers);
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        rendered.headers_mut().insert(ALLOW, allow);
    }
    rendered
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
