//! `POST /tts/bytes`: a whole text, answered with audio while it is made.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use csm_shared::job::Invalid;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::generation::{Container, Encoding, SpeechSettings, float};
use crate::app::App;
use crate::http::Problem;
use crate::message_fields::MessageFields;
use crate::openai::{SpeechCall, answer_speech};
use crate::resources::peer;

/// Speaks a text. The job is cancelled if the caller leaves.
pub(crate) async fn speak_bytes(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let call = SpeechCall::of(&app, request.headers(), peer(request.extensions())).await;
    let mut body = app.bodies.read(request).await?;
    let call = call?;
    let (request, encoding) = speech_request(&body.text_object().await?)?;
    body.bytes = Bytes::from(request.to_string());
    let answer = answer_speech(&app, call, body).await?;
    Ok(match encoding {
        Encoding::S16 => answer,
        Encoding::F32 => answer.map(floats),
    })
}

/// Returns the same request for OpenAI's route, and the coding of its samples.
fn speech_request(body: &Value) -> Result<(Value, Encoding), Invalid> {
    let fields = MessageFields::of(body);
    let transcript = fields.string("transcript")?.ok_or_else(|| fields.missing("transcript", "a string"))?;
    let SpeechSettings { voice, output, speed } = SpeechSettings::read(&fields)?;
    let format = match output.container {
        Container::Raw => "pcm",
        Container::Wav => "wav",
        Container::Mp3 => "mp3",
    };
    let request = json!({
        "input": transcript,
        "voice": voice.name(),
        "response_format": format,
        "sample_rate": output.rate,
        "speed": speed.get(),
    });
    Ok((request, output.encoding))
}

/// Returns a body of 16-bit samples as one of floating-point samples. A cut stays a cut.
fn floats(body: Body) -> Body {
    // A piece may end within a sample.
    let mut half: Option<u8> = None;
    let pieces = body.into_data_stream().map(move |piece| {
        let piece = piece.map_err(io::Error::other)?;
        let bytes: Vec<u8> = half.take().into_iter().chain(piece).collect();
        let (samples, rest) = bytes.as_chunks::<2>();
        half = rest.first().copied();
        let samples = samples.iter().map(|bytes| float(i16::from_le_bytes(*bytes)));
        Ok::<_, io::Error>(Bytes::from_iter(samples.flat_map(f32::to_le_bytes)))
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn samples_that_are_split_stay_whole_and_a_cut_stays_a_cut() {
        let pieces = [Ok(vec![0]), Ok(vec![64, 0, 128, 5]), Err(io::Error::other("cut"))];
        let mut body = floats(Body::from_stream(futures::stream::iter(pieces))).into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap().len(), 0);
        let both = body.next().await.unwrap().unwrap();
        assert_eq!(both, [0.5_f32.to_le_bytes(), (-1.0_f32).to_le_bytes()].concat());
        assert!(body.next().await.unwrap().is_err());
    }
}
