//! Cartesia's speech API: a socket for many speeches at once, `/tts/websocket`, and a request for a
//! whole text, `/tts/bytes`. Its clients need another base URL and nothing else.

mod bytes;
mod context;
mod generation;
mod socket;

pub(crate) use bytes::speak_bytes;
pub(crate) use socket::speak_socket;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::problem::ErrorShape;

/// Gives the problems of these routes Cartesia's shape.
pub(crate) async fn error_shape(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(ErrorShape::Cartesia);
    response
}
