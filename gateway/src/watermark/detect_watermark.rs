//! `POST /v1/watermark/detect?job=ID`: looks for the project's marks in a recording.
//!
//! The body is the file. The format is read from its content; bare samples have no header and need
//! their media type. `job` names the job that the recording may come from: a mark of SilentCipher
//! must then name the same job. A job of another tenant is refused like one that never was.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use csm_shared::audio::{self, Clip, ClipError, FORMATS};
use csm_shared::job::{AudioFormat, Invalid, JobId, Reason};
use csm_shared::watermark::WatermarkReport;

use crate::app::App;
use crate::caller::own_record;
use crate::http::Problem;
use crate::http::body::BufferedBody;

/// HTTP status of a file of no known format.
const UNKNOWN_STATUS: u16 = 415;
/// HTTP status of a file that is too large or lasts too long.
const TOO_LARGE_STATUS: u16 = 413;
/// Bytes at the start of an unknown file that its refusal shows.
const SHOWN_BYTES: usize = 8;

/// Answers with the report on a recording.
pub(crate) async fn detect_watermark(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Json<WatermarkReport>, Problem> {
    let job = job_of(&query)?;
    if let Some(job) = job {
        // The record may have expired; another tenant's is refused.
        own_record(&app.queue, request.headers(), job).await?;
    }
    let bare = request.headers().get(CONTENT_TYPE).is_some_and(|kind| is_bare(kind.as_bytes()));
    let BufferedBody { bytes, memory } = app.bodies.read(request).await?;
    let detector = app.detections.detector()?;
    let report = app.detections.report(detector, job, memory, move || recording(&bytes, bare));
    let report = tokio::select! {
        report = report => report?,
        () = app.late.cancelled() => return Err(Problem::draining()),
    };
    Ok(Json(report))
}

/// Reads the job that the recording may come from. Its record may have expired: recordings live
/// longer.
fn job_of(query: &HashMap<String, String>) -> Result<Option<JobId>, Invalid> {
    let Some(text) = query.get("job") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Invalid::malformed("job", text, "a job's id, which is a UUID"))
}

/// Returns whether a media type, blanks aside, is that of bare samples.
fn is_bare(kind: &[u8]) -> bool {
    let kind = kind.iter().filter(|byte| !byte.is_ascii_whitespace()).map(u8::to_ascii_lowercase);
    kind.eq(AudioFormat::Pcm.media_type().bytes())
}

/// Decodes the recording.
fn recording(bytes: &Bytes, bare: bool) -> Result<Clip, Problem> {
    let read = if bare { Clip::from_pcm(bytes) } else { audio::read(bytes) };
    read.map_err(|error| refusal(bytes, &error).into())
}

/// Describes why a file is no recording.
fn refusal(bytes: &Bytes, error: &ClipError) -> Invalid {
    let (field, size) = ("(body)", format!("{} bytes", bytes.len()));
    let limit = format!("{FORMATS} ({error})");
    match error {
        ClipError::UnknownFormat => {
            let start = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
            let invalid = Invalid::malformed(field, format!("{size} that begin with \"{start}\""), FORMATS);
            Invalid { status: UNKNOWN_STATUS, ..invalid }
        }
        error if error.is_too_large() => {
            Invalid { status: TOO_LARGE_STATUS, reason: Reason::TooLarge, ..Invalid::malformed(field, size, limit) }
        }
        _ => Invalid::malformed(field, size, limit),
    }
}
