//! `POST /v1/watermark/detect?job=ID`: looks for the project's marks in a recording.
//!
//! The body is the file, a form with the file, or JSON with the file as base64. The format is read from
//! the file's content; bare samples have no header and need their media type. `job` names the job that
//! the recording may come from: a mark of SilentCipher must then name the same job. A job of another
//! tenant is refused like one that never was.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use csm_shared::job::{Invalid, JobId};

use super::recording_upload::UploadForm;
use crate::app::App;
use crate::caller::own_record;
use crate::detections::Detection;
use crate::http::Problem;
use crate::http::body::BufferedBody;

/// Answers with the report on a recording.
pub(crate) async fn detect_watermark(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Result<Json<Detection>, Problem> {
    let job = job_of(&query)?;
    if let Some(job) = job {
        // The record may have expired; another tenant's is refused.
        own_record(&app.queue, request.headers(), job).await?;
    }
    let media_type = request.headers().get(CONTENT_TYPE).cloned();
    let BufferedBody { bytes, mut memory } = app.bodies.read(request).await?;
    let detector = app.detections.detector()?;
    let form = UploadForm::of(media_type.as_ref(), &bytes);
    memory.grow_to(form.copies() * bytes.len()).await?;
    let detection = app.detections.report(detector, job, memory, move || form.recording(bytes));
    let detection = tokio::select! {
        detection = detection => detection?,
        () = app.late.cancelled() => return Err(Problem::draining()),
    };
    Ok(Json(detection))
}

/// Reads the job that the recording may come from. Its record may have expired: recordings live
/// longer.
fn job_of(query: &HashMap<String, String>) -> Result<Option<JobId>, Invalid> {
    let Some(text) = query.get("job") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Invalid::malformed("job", text, "a job's id, which is a UUID"))
}
