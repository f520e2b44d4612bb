//! Every path of the public API, and the layers around the routes.

use std::any::Any;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use csm_shared::process::traces::TraceContext;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use tracing::field::Empty;
use tracing::{Level, Span};

use crate::app::App;
use crate::http::problem::{echoed, pages};
use crate::http::request_id::{self, RequestId};
use crate::http::same_site::{self, SameSite};
use crate::http::{Problem, request_metrics, request_trace};
use crate::{
    batches, cartesia, compat, deepgram, elevenlabs, files, fleet, jobs, openai, operators, page, realtime, stream,
    watermark,
};

/// Builds the public API. Layers run from the bottom up: id, metrics, trace and its
/// header, panics, origin, then the
/// route.
pub(crate) fn router(app: App, same_site: SameSite) -> Router {
    let openai = Router::new()
        .route("/v1/audio/speech", post(openai::speech))
        .route("/v1/audio/speech/{id}", get(openai::speech_receipt))
        .route("/v1/audio/models", get(openai::audio_models))
        .route("/v1/audio/voices", get(openai::voices))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{id}", get(openai::model))
        .merge(files::routes())
        .merge(batches::routes())
        .route("/v1/realtime", get(realtime::realtime))
        .route_layer(middleware::from_fn(openai::error_shape));
    let cartesia = Router::new()
        .route("/tts/websocket", get(cartesia::speak_socket))
        .route("/tts/bytes", post(cartesia::speak_bytes))
        .route_layer(middleware::from_fn(cartesia::error_shape));
    let deepgram = Router::new()
        .route("/v1/speak", get(deepgram::speak_socket).post(deepgram::speak))
        .route_layer(middleware::from_fn(deepgram::error_shape));
    let elevenlabs = Router::new()
        .route("/v1/text-to-speech/{voice}", post(elevenlabs::speech))
        .route("/v1/text-to-speech/{voice}/stream", post(elevenlabs::speech))
        .route("/v1/text-to-speech/{voice}/multi-stream-input", get(elevenlabs::speech_socket))
        .route("/v1/voices", get(elevenlabs::voices))
        .route("/v1/voices/{id}", get(elevenlabs::voice))
        .route_layer(middleware::from_fn(elevenlabs::error_shape));
    Router::new()
        .merge(openai)
        .merge(cartesia)
        .merge(deepgram)
        .merge(elevenlabs)
        .merge(page::routes())
        .merge(operators::routes())
        .route("/v1/stream", get(stream::stream))
        .route("/v1/fleet", get(fleet::fleet))
        .route("/v1/test", get(async || Json(json!({"status": "ok"}))))
        .route("/generate", post(compat::generate))
        .route("/ws", get(compat::ws))
        .route("/v1/jobs", post(jobs::create_job))
        .route("/v1/jobs/{id}", get(jobs::get_job).put(jobs::put_job).delete(jobs::cancel_job))
        .route("/v1/jobs/{id}/cues", get(jobs::job_cues))
        .route("/v1/jobs/{id}/audio", get(jobs::get_audio))
        .route("/v1/jobs/{id}/events", get(jobs::job_events))
        .route("/v1/jobs/{id}/sentences/{number}", post(jobs::speak_sentence))
        .route("/v1/watermark/detect", post(watermark::detect_watermark))
        .route("/problems", get(pages::problem_list))
        .route("/problems/{code}", get(pages::problem_page))
        .fallback(async |uri: Uri| Problem::no_route(uri.path()))
        .method_not_allowed_fallback(async |method: Method| Problem::wrong_method(method.as_str()))
        .with_state(app)
        .layer(middleware::from_fn_with_state(Arc::new(same_site), same_site::layer))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(request_trace::layer))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_request(())
                .on_response(DefaultOnResponse::new().level(Level::INFO))
                .on_failure(()),
        )
        .layer(middleware::from_fn(request_metrics::layer))
        .layer(middleware::from_fn(request_id::layer))
}

/// Makes the span of a request from its id, method and path, never from query or text. The span goes on
/// with the caller's trace, if the request names one.
fn span(request: &Request) -> Span {
    let id = request.extensions().get::<RequestId>().map_or("", |id| &id.0);
    let (method, path) = (echoed(request.method().as_str()), echoed(request.uri().path()));
    let span = tracing::info_span!("request", id, %method, %path, trace_id = Empty, otel.kind = "server");
    if let Some(caller) = request_trace::callers(request.headers()) {
        caller.adopt(&span);
    }
    if let Some(trace) = TraceContext::of(&span) {
        span.record("trace_id", trace.trace_id());
    }
    span
}

/// Answers for a handler that panicked.
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast::<String>().map(|text| *text);
    let text = text.or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    Problem::internal(format!("a handler panicked: {text}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem;

    #[test]
    fn a_panic_becomes_a_problem_without_its_text() {
        let response = problem::render(panicked(Box::new("secret".to_owned())), "r-1");
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
