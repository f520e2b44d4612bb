//! `POST /v1/text-to-speech/{voice}` and `/stream`: a whole text, answered with audio while it is
//! made.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use csm_shared::job::{Invalid, Speed};
use serde_json::{Value, json};

use super::message::speed;
use super::options::{SpeechOptions, normalization};
use crate::app::App;
use crate::http::Problem;
use crate::message_fields::MessageFields;
use crate::openai::{SpeechCall, answer_speech};
use crate::resources::peer;

/// Speaks a text. The job is cancelled if the caller leaves.
pub(crate) async fn speech(
    State(app): State<App>,
    Path(voice): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Response, Problem> {
    let options = SpeechOptions::read(&voice, &query);
    let call = SpeechCall::of(&app, request.headers(), peer(request.extensions())).await;
    let mut body = app.bodies.read(request).await?;
    let (options, call) = (options?, call?);
    body.bytes = Bytes::from(speech_request(&body.text_object().await?, &options)?.to_string());
    answer_speech(&app, call, body).await
}

/// Returns the same request for OpenAI's route.
fn speech_request(body: &Value, options: &SpeechOptions) -> Result<Value, Invalid> {
    let fields = MessageFields::of(body);
    let text = fields.string("text")?.ok_or_else(|| fields.missing("text", "a string"))?;
    let normalize = fields.string("apply_text_normalization")?.map(normalization).transpose()?;
    let seed = match body.get("seed").filter(|seed| !seed.is_null()) {
        Some(seed) => Some(seed.as_u64().ok_or_else(|| fields.refuse("seed", "a whole number, 0 or larger"))?),
        None => options.seed,
    };
    Ok(json!({
        "input": text,
        "voice": options.voice.name(),
        "response_format": options.output.format,
        "sample_rate": options.output.rate,
        "speed": speed(&fields)?.map(Speed::get),
        "seed": seed,
        "normalize": normalize.unwrap_or(options.normalize),
    }))
}
