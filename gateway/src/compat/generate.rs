//! `POST /generate`: text in, audio out in one answer, as the integration that this replaces did it.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::SAMPLE_RATE;

use crate::app::App;
use crate::body;
use crate::problem::Problem;
use crate::provenance_headers::Provenance;
use crate::request::{ApiStyle, Caller, tenant};
use crate::response::Generated;
use crate::submit::parse_and_check;
use crate::wait::{FinishedAudio, wait_for_audio};

pub(crate) async fn generate(State(app): State<App>, request: Request) -> Result<impl IntoResponse, Problem> {
    let tenant = tenant(request.headers());
    let job_request = {
        let body = body::read(&app, request).await?;
        parse_and_check(&app, body.bytes.clone(), ApiStyle::Compat, Caller::new(tenant?)).await?
    };
    let FinishedAudio { audio, receipt } = wait_for_audio(&app, job_request).await?;
    let generated = Generated { audio: BASE64.encode(&audio), format: "wav", sample_rate: SAMPLE_RATE };
    Ok((Provenance::of(&receipt), Json(generated)))
}
