//! `POST /generate`: text in, audio out in one answer.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::SAMPLE_RATE;
use futures::stream::{self, Stream, StreamExt as _};

use super::request::read;
use super::result_summary::ResultSummary;
use crate::app::App;
use crate::caller::{Caller, tenant};
use crate::http::Problem;
use crate::provenance_headers::Provenance;
use crate::resources::peer;
use crate::stored_audio::StoredAudio;
use crate::submit::parse_and_check;
use crate::wait::{FinishedJob, submit_and_wait};

/// Beginning of the answer: exactly the fields of the integration that it replaces. The WAV file
/// follows as base64, in pieces.
const ANSWER_START: &str = r#"{"audio":""#;

/// Speaks a text while the caller waits. The job is cancelled if the caller leaves.
pub(crate) async fn generate(State(app): State<App>, request: Request) -> Result<impl IntoResponse, Problem> {
    let (tenant, peer) = (tenant(request.headers()), peer(request.extensions()));
    let body = app.bodies.read(request).await?;
    let checked = parse_and_check(&app, body, read, Caller::new(tenant?)).await?;
    let warnings = checked.job_request.ticket.warnings.clone();
    let finished = submit_and_wait(&app, checked).await?;
    let FinishedJob { job, receipt } = &finished;
    let end = format!(r#"","format":"wav","sample_rate":{SAMPLE_RATE}}}"#);
    let length = ANSWER_START.len() as u64 + receipt.bytes.div_ceil(3) * 4 + end.len() as u64;
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_LENGTH, length.to_string())];
    let audio = StoredAudio::of(&app, peer, *job, receipt)?.pieces(0..receipt.bytes).await?;
    let summary = ResultSummary::of(&finished, warnings).headers();
    Ok((Provenance::of(receipt), summary, headers, Body::from_stream(answer(audio, end))))
}

/// Writes the answer around the pieces of the file.
fn answer(
    audio: impl Stream<Item = io::Result<Bytes>> + Send,
    end: String,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let start = stream::once(async { Ok(Bytes::from_static(ANSWER_START.as_bytes())) });
    let base64 = audio.map(|piece| piece.map(|piece| Bytes::from(BASE64.encode(piece))));
    start.chain(base64).chain(stream::once(async move { Ok(Bytes::from(end)) }))
}
