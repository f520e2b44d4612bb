//! OpenAI's speech API: its paths, fields, defaults and errors, so that its clients need another
//! base URL and nothing else.

mod models;
mod receipt;
mod request;
mod speech;
mod speech_body;
mod speech_source;

pub(crate) use models::{audio_models, model, models, voices};
pub(crate) use receipt::speech_receipt;
pub(crate) use request::read_line;
pub(crate) use speech::{SpeechCall, answer_speech, speech};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::problem::ErrorShape;

/// Gives the problems of these routes OpenAI's shape.
pub(crate) async fn error_shape(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(ErrorShape::OpenAi);
    response
}
