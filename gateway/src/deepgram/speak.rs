//! `POST /v1/speak`: a whole text, answered with audio while it is made.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use csm_shared::job::Invalid;
use serde_json::{Value, json};

use super::options::SpeakOptions;
use crate::app::App;
use crate::http::Problem;
use crate::message_fields::MessageFields;
use crate::openai::{SpeechCall, answer_speech};
use crate::resources::peer;

/// Speaks a text. The job is cancelled if the caller leaves.
pub(crate) async fn speak(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Response, Problem> {
    let options = SpeakOptions::read(&query).and_then(|options| Ok((options.format()?, options)));
    let call = SpeechCall::of(&app, request.headers(), peer(request.extensions())).await;
    let mut body = app.bodies.read(request).await?;
    let ((format, options), call) = (options?, call?);
    let text = text(&body.text_object().await?)?;
    let voice = options.voice.map(csm_shared::job::VoiceName::name);
    let request = json!({"input": text, "voice": voice, "response_format": format, "sample_rate": options.rate});
    body.bytes = Bytes::from(request.to_string());
    answer_speech(&app, call, body).await
}

/// Reads `text` of a body.
fn text(body: &Value) -> Result<String, Invalid> {
    let fields = MessageFields::of(body);
    fields.string("text")?.map(str::to_owned).ok_or_else(|| fields.missing("text", "a string"))
}
