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
use crate::openai::{SpeechCall, answer_speech};
use crate::resources::peer;

/// Speaks a text. The job is cancelled if the caller leaves.
pub(crate) async fn speak(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Response, Problem> {
    let options = SpeakOptions::read(&query)?;
    let format = format(&options)?;
    let call = SpeechCall::of(&app, request.headers(), peer(request.extensions())).await;
    let mut body = app.bodies.read(request).await?;
    let text = text(&body.text_object().await?)?;
    let voice = options.voice.map(csm_shared::job::VoiceName::name);
    let request = json!({"input": text, "voice": voice, "response_format": format, "sample_rate": options.rate});
    body.bytes = Bytes::from(request.to_string());
    answer_speech(&app, call?, body).await
}

/// Returns the format of an answer: Deepgram's default is MP3, and WAV for samples.
fn format(options: &SpeakOptions) -> Result<&'static str, Invalid> {
    match (options.encoding.as_deref(), options.bare) {
        (None | Some("mp3"), _) => Ok("mp3"),
        (Some("linear16"), true) => Ok("pcm"),
        (Some("linear16"), false) => Ok("wav"),
        (Some("flac"), _) => Ok("flac"),
        (Some("opus"), _) => Ok("opus"),
        (Some(other), _) => Err(Invalid::malformed("encoding", other, "mp3, linear16, flac or opus")),
    }
}

/// Reads `text` of a body.
fn text(body: &Value) -> Result<String, Invalid> {
    let text = body.get("text").and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Invalid::malformed("text", "(missing)", "a string"))
}
