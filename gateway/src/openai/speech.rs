//! `POST /v1/audio/speech`: text in, audio out while it is made.
//!
//! The status waits for the first samples, so whatever goes wrong before is an ordinary error. A
//! later failure aborts the body. A client never takes a cut for the end.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use csm_formats::StreamEncoder;
use csm_shared::job::{AudioFormat, InputWarnings, JobId};
use csm_shared::process::connections::Peer;

use super::request::{SpeechForm, SpeechRequest, StreamFormat, read};
use super::speech_body::SpeechBody;
use super::speech_source::SpeechSource;
use crate::app::App;
use crate::caller::Caller;
use crate::http::body::BufferedBody;
use crate::http::media_type::require_json;
use crate::http::{Problem, append_warnings};
use crate::provenance_headers::Provenance;
use crate::resources::{DecodeRecording, peer};
use crate::sentence_queue::SILENCE_SAMPLES;
use crate::submit::parse_and_check_some;

/// Header with the id of the job.
const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// Header that names the fields of the request that had no effect.
const IGNORED: HeaderName = HeaderName::from_static("x-ignored");

/// Caller of a speech.
pub(crate) struct SpeechCall {
    caller: Caller,
    peer: Peer,
}

impl SpeechCall {
    /// Reads the caller of a request with a JSON body.
    pub(crate) async fn of(app: &App, headers: &HeaderMap, peer: Peer) -> Result<Self, Problem> {
        require_json(headers)?;
        Ok(Self { caller: Caller::by_key(app, headers).await?, peer })
    }
}

/// Speaks a text. The job is cancelled if the caller leaves.
pub(crate) async fn speech(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let call = SpeechCall::of(&app, request.headers(), peer(request.extensions())).await;
    // A refused request is answered after its body, because most clients send the whole body first.
    let body = app.bodies.read(request).await?;
    answer_speech(&app, call?, body).await
}

/// Answers a request body of this API.
pub(crate) async fn answer_speech(app: &App, call: SpeechCall, body: BufferedBody) -> Result<Response, Problem> {
    let SpeechCall { caller, peer } = call;
    let model = app.model_name.clone();
    let read = move |body: &[u8], caller: &Caller, decode: &mut DecodeRecording<'_>| read(body, caller, decode, &model);
    let (checked, SpeechRequest { form, texts }) = parse_and_check_some(app, body, read, caller).await?;
    let Some(checked) = checked else {
        let mut encoder = encoder(form, 0)?;
        let mut bytes = encoder.push(&[0; SILENCE_SAMPLES]).map_err(Problem::internal)?;
        bytes.append(&mut encoder.finish().map_err(Problem::internal)?);
        return Ok(answer(
            form,
            None,
            &InputWarnings::default(),
            Body::from_stream(SpeechBody::silence(form, bytes).into_stream()),
        ));
    };
    let warnings = checked.job_request.ticket.warnings.clone();
    let mut source = SpeechSource::begin(app, peer, checked, texts).await?;
    let job = source.job();
    let first = source.next().await?;
    let body = SpeechBody::new(form, encoder(form, serial(job))?, source, first);
    Ok(answer(form, Some(job), &warnings, Body::from_stream(body.into_stream())))
}

fn encoder(form: SpeechForm, serial: u32) -> Result<StreamEncoder, Problem> {
    let encoder = match form.format {
        AudioFormat::Pcm | AudioFormat::Wav | AudioFormat::Mp3 => StreamEncoder::at_rate(form.format, form.rate),
        format => StreamEncoder::new(format, serial),
    };
    encoder.map_err(Problem::internal)
}

/// Returns the serial number of a job's Ogg stream.
fn serial(job: JobId) -> u32 {
    job.to_string().bytes().fold(0, |serial: u32, byte| serial.wrapping_mul(31).wrapping_add(byte.into()))
}

fn answer(form: SpeechForm, job: Option<JobId>, warnings: &InputWarnings, body: Body) -> Response {
    let media_type = match (form.stream, form.format) {
        (StreamFormat::Sse, _) => "text/event-stream",
        (StreamFormat::Audio, AudioFormat::Mp3) => "audio/mpeg",
        (StreamFormat::Audio, AudioFormat::Opus) => "audio/ogg; codecs=opus",
        (StreamFormat::Audio, AudioFormat::Flac) => "audio/flac",
        (StreamFormat::Audio, AudioFormat::Wav) => "audio/wav",
        (StreamFormat::Audio, AudioFormat::Pcm) => "audio/pcm",
    };
    let always = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-store")];
    let unbuffered = [("x-accel-buffering", "no")];
    let mut response = (Provenance::LIVE, always, unbuffered, body).into_response();
    if let Some(job) = job.and_then(|job| HeaderValue::try_from(job.to_string()).ok()) {
        response.headers_mut().insert(JOB_ID, job);
    }
    append_warnings(response.headers_mut(), warnings);
    if form.instructions {
        response.headers_mut().insert(IGNORED, HeaderValue::from_static("instructions"));
    }
    response
}
