//! ElevenLabs' speech API: a socket with many contexts, requests for a whole text, and the list of
//! voices. Its clients need another base URL and nothing else.

mod alignment;
mod context;
mod message;
mod options;
mod socket;
mod speech;
mod voices;

pub(crate) use socket::speech_socket;
pub(crate) use speech::speech;
pub(crate) use voices::{voice, voices};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::problem::ErrorShape;

/// Gives the problems of these routes ElevenLabs' shape.
pub(crate) async fn error_shape(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(ErrorShape::ElevenLabs);
    response
}
