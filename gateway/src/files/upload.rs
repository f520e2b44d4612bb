//! `POST /v1/files`: a form with the file and its purpose, as it arrives.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{Multipart, Request, State};
use axum::http::header::CONTENT_LENGTH;
use csm_queue::batches::{FILE_PURPOSE, FileRecord};
use csm_queue::queue::QueueError;
use csm_shared::job::limits::Limit;
use csm_shared::job::{Invalid, Tenant};
use csm_shared::store::{ObjectKey, UPLOAD_PIECE_BYTES};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::document::document;
use crate::app::App;
use crate::caller::tenant;
use crate::http::Problem;
use crate::http::form::{damaged_form, open_form};
use crate::http::problem::echoed;
use crate::resources::peer;

/// Size of a file, as in OpenAI's API.
const FILE_BYTES: Limit = Limit { min: 1, max: 200 * 1024 * 1024, unit: "bytes", status: 413 };
/// Bytes of a form beside its file.
const FORM_BYTES: u64 = 64 * 1024;
/// Characters of a file's name.
const NAME_CHARS: Limit = Limit { min: 1, max: 255, unit: "characters", status: 422 };
/// Bytes of a field that is no file.
const VALUE_BYTES: Limit = Limit { min: 0, max: 256, unit: "bytes", status: 422 };
/// Time for which a file is kept, in seconds: the default is OpenAI's for files of batches.
const KEPT_SECONDS: Limit = Limit { min: 3_600, max: 30 * 24 * 3_600, unit: "s", status: 422 };
/// Longest silence of an upload.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest time of an upload.
const UPLOAD_MAX: Duration = Duration::from_hours(1);

/// Takes a file into the store, and answers with its record.
pub(super) async fn create_file(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let tenant = tenant(request.headers())?;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut memory = app.memory.begin(peer(request.extensions()));
    if let Some(bytes) = announced.filter(|&bytes| bytes > FILE_BYTES.max + FORM_BYTES) {
        app.bodies.refuse(request);
        return Err(Invalid::outside("file", format!("Content-Length {bytes}"), &FILE_BYTES).into());
    }
    memory.grow_to(2 * UPLOAD_PIECE_BYTES).await?;
    let form = open_form(request).await?;
    let id = format!("file-{}", Uuid::now_v7().simple());
    let key = ObjectKey::new(format!("audio/files/{id}")).map_err(Problem::internal)?;
    let reading = timeout(UPLOAD_MAX, read_form(&app, tenant, &id, &key, form));
    let read = tokio::select! {
        read = reading => read.unwrap_or_else(|_| Err(Problem::slow_body())),
        () = app.late.cancelled() => Err(Problem::draining()),
    };
    let file = match read {
        Ok(file) => file,
        Err(problem) => {
            // Of a form that is refused behind its file nothing stays.
            if let Err(error) = app.store.delete(&key).await {
                tracing::warn!(key = %key, error = %error, "cannot delete refused file from store");
            }
            return Err(problem);
        }
    };
    until(&app, &key, file.expires_at).await?;
    app.batches.put_file(&file).await?;
    drop(memory);
    tracing::info!(file = %file.id, bytes = file.bytes, "accepted file");
    Ok(Json(document(&file)))
}

/// Reads the fields of a form. The file is in the store before its record is.
async fn read_form(
    app: &App,
    tenant: Tenant,
    id: &str,
    key: &ObjectKey,
    mut form: Multipart,
) -> Result<FileRecord, Problem> {
    let created_at = Timestamp::now().as_second();
    let (mut purpose, mut kept, mut stored) = (None, KEPT_SECONDS.max, None);
    while let Some(field) = within_silence(form.next_field()).await? {
        match field.name().unwrap_or_default() {
            "purpose" => purpose = Some(value("purpose", field).await?),
            "expires_after[anchor]" => {
                let anchor = value("expires_after[anchor]", field).await?;
                if anchor != "created_at" {
                    return Err(Invalid::malformed("expires_after[anchor]", anchor, "created_at").into());
                }
            }
            "expires_after[seconds]" => {
                let text = value("expires_after[seconds]", field).await?;
                let seconds = text.parse().ok().filter(|&seconds| KEPT_SECONDS.allows(seconds));
                kept = seconds.ok_or_else(|| Invalid::outside("expires_after[seconds]", text, &KEPT_SECONDS))?;
            }
            "file" if stored.is_none() => stored = Some(store(app, key, created_at, field).await?),
            "file" => return Err(Invalid::malformed("file", "(a second one)", "one file").into()),
            other => {
                let known = "a known field; there are purpose, file, expires_after[anchor], expires_after[seconds]";
                return Err(Invalid::malformed(&echoed(other), "(present)", known).into());
            }
        }
    }
    let missing = |field: &str, expected: &str| Problem::from(Invalid::malformed(field, "(missing)", expected));
    match purpose.as_deref() {
        Some(FILE_PURPOSE) => {}
        Some(other) => return Err(Invalid::malformed("purpose", other, FILE_PURPOSE).into()),
        None => return Err(missing("purpose", FILE_PURPOSE)),
    }
    let (filename, bytes) = stored.ok_or_else(|| missing("file", "a file"))?;
    Ok(FileRecord {
        id: id.to_owned(),
        tenant,
        filename,
        purpose: FILE_PURPOSE.to_owned(),
        bytes,
        key: key.to_string(),
        created_at,
        expires_at: created_at + kept.cast_signed(),
    })
}

/// Notes that the object of a file is removed at a time, in Unix seconds.
async fn until(app: &App, key: &ObjectKey, time: i64) -> Result<(), Problem> {
    let time = Timestamp::from_second(time).unwrap_or(Timestamp::MAX);
    Ok(app.temporary_objects.register(key, time).await.map_err(QueueError::from)?)
}

/// Passes a file on to the store, piece by piece. Returns its name and its length in bytes.
async fn store(app: &App, key: &ObjectKey, created_at: i64, mut field: Field<'_>) -> Result<(String, u64), Problem> {
    let filename = field.file_name().unwrap_or("lines.jsonl").to_owned();
    if !NAME_CHARS.allows(filename.chars().count() as u64) {
        return Err(Invalid::outside("file", format!("the name {filename:?}"), &NAME_CHARS).into());
    }
    until(app, key, created_at + KEPT_SECONDS.max.cast_signed()).await?;
    let mut upload = app.store.upload(key, "application/octet-stream").await?;
    let mut bytes = 0;
    while let Some(piece) = within_silence(field.chunk()).await? {
        bytes += piece.len() as u64;
        if bytes > FILE_BYTES.max {
            return Err(Invalid::outside("file", format!("more than {} bytes", FILE_BYTES.max), &FILE_BYTES).into());
        }
        upload.write(&piece).await.map_err(|error| Problem::upload_failed(bytes, error))?;
    }
    if !FILE_BYTES.allows(bytes) {
        return Err(Invalid { status: 422, ..Invalid::outside("file", "0 bytes", &FILE_BYTES) }.into());
    }
    upload.finish().await.map_err(|error| Problem::upload_failed(bytes, error))?;
    Ok((filename, bytes))
}

/// Reads the value of a field that is no file.
async fn value(name: &str, mut field: Field<'_>) -> Result<String, Problem> {
    let mut value = Vec::new();
    while let Some(piece) = within_silence(field.chunk()).await? {
        value.extend_from_slice(&piece);
        if !VALUE_BYTES.allows(value.len() as u64) {
            return Err(Invalid::outside(name, format!("more than {} bytes", VALUE_BYTES.max), &VALUE_BYTES).into());
        }
    }
    String::from_utf8(value).map_err(|_| Invalid::malformed(name, "(not UTF-8)", "text").into())
}

/// Waits for the next part of a form.
async fn within_silence<T>(
    next: impl Future<Output = Result<Option<T>, MultipartError>>,
) -> Result<Option<T>, Problem> {
    match timeout(SILENCE_MAX, next).await {
        Err(_) => Err(Problem::slow_body()),
        Ok(Err(error)) => Err(damaged_form(&error)),
        Ok(Ok(part)) => Ok(part),
    }
}
