//! `POST /generate`: text in, audio out in one answer, as the integration that this replaces did it.

use axum::Json;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::SAMPLE_RATE;

use crate::app::App;
use crate::body;
use crate::problem::Problem;
use crate::request::Face;
use crate::response::Generated;
use crate::speak::speak;
use crate::submit::prove;

pub(crate) async fn generate(State(app): State<App>, request: Request) -> Result<Json<Generated>, Problem> {
    let spec = {
        let body = body::read(&app, request).await?;
        prove(&app, body.bytes.clone(), Face::Compat).await?
    };
    let wav = speak(&app, spec).await?;
    Ok(Json(Generated { audio: BASE64.encode(&wav), format: "wav", sample_rate: SAMPLE_RATE }))
}
