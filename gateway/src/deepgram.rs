//! Deepgram's speech API, `/v1/speak`: a socket that takes text in pieces, and a request for a whole
//! text. Its clients need another base URL and nothing else.

mod options;
mod socket;
mod speak;

pub(crate) use socket::speak_socket;
pub(crate) use speak::speak;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::problem::ErrorShape;

/// Gives the problems of these routes Deepgram's shape.
pub(crate) async fn error_shape(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(ErrorShape::Deepgram);
    response
}
