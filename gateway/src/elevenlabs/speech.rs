//! `POST /v1/text-to-speech/{voice}` and `/stream`: a whole text, answered with audio while it is
//! made.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use csm_shared::job::limits::Limit;
use csm_shared::job::{Invalid, Speed};
use serde_json::{Value, json};

use super::message::speed;
use super::options::{SpeechOptions, normalization};
use crate::app::App;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::message_fields::MessageFields;
use crate::openai::{SpeechCall, answer_speech};
use crate::resources::peer;

/// Size of a body: more than the longest text takes.
const BODY_BYTES: Limit = Limit { min: 0, max: 512 * 1_024, unit: "bytes", status: 413 };
/// Memory of the tree of values that a body becomes, in sizes of the body.
const TREE_COPIES: usize = 32;

/// Speaks a text. The job is cancelled if the caller leaves.
pub(crate) async fn speech(
    State(app): State<App>,
    Path(voice): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Response, Problem> {
    let options = SpeechOptions::read(&voice, &query);
    let call = SpeechCall::of(&app, request.headers(), peer(request.extensions())).await;
    let BufferedBody { bytes, mut memory } = app.bodies.read(request).await?;
    let options = options?;
    if !BODY_BYTES.allows(bytes.len() as u64) {
        return Err(Invalid::outside("(body)", format!("{} bytes", bytes.len()), &BODY_BYTES).into());
    }
    memory.grow_to(TREE_COPIES * bytes.len()).await?;
    let bytes = Bytes::from(speech_request(&bytes, &options)?.to_string());
    answer_speech(&app, call?, BufferedBody { bytes, memory }).await
}

/// Returns the same request for OpenAI's route.
fn speech_request(body: &[u8], options: &SpeechOptions) -> Result<Value, Invalid> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Invalid { status: 400, ..Invalid::malformed("(body)", error, "a JSON object") })?;
    if !body.is_object() {
        return Err(Invalid { status: 400, ..Invalid::malformed("(body)", &body, "a JSON object") });
    }
    let fields = MessageFields::of(&body);
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
