//! `POST /generate`: text in, audio out in one answer.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::SAMPLE_RATE;
use serde::Serialize;

use super::request::read;
use super::result_summary::ResultSummary;
use crate::app::App;
use crate::caller::{Caller, tenant};
use crate::http::Problem;
use crate::provenance_headers::Provenance;
use crate::submit::parse_and_check;
use crate::wait::wait_for_audio;

/// Answer of `/generate`: exactly the fields of the integration that it replaces.
#[derive(Debug, Serialize)]
struct Generated {
    /// WAV file as base64.
    audio: String,
    /// Format of the audio: always `wav`.
    format: &'static str,
    /// Sample rate in Hz.
    sample_rate: u32,
}

/// Speaks a text while the caller waits. The job is cancelled if the caller leaves.
pub(crate) async fn generate(State(app): State<App>, request: Request) -> Result<impl IntoResponse, Problem> {
    let tenant = tenant(request.headers());
    let job_request = {
        let body = app.bodies.read(request).await?;
        parse_and_check(&app, body.bytes.clone(), read, Caller::new(tenant?)).await?
    };
    let finished = wait_for_audio(&app, job_request).await?;
    let summary = ResultSummary::of(&finished).headers();
    let generated = Generated { audio: BASE64.encode(&finished.audio), format: "wav", sample_rate: SAMPLE_RATE };
    Ok((Provenance::of(&finished.receipt), summary, Json(generated)))
}
