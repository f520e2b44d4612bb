//! `/v1/files`: files of lines for batches, and what batches leave, in OpenAI's shape.
//!
//! A file goes to the store as it arrives and is never held in memory. Its record, which names its
//! object, is written last: an upload that breaks off leaves nothing.

mod document;
mod upload;

pub(crate) use document::{PageQuery, list};

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router, body::Body};
use csm_queue::batches::FileRecord;
use csm_shared::store::ObjectKey;
use serde_json::{Value, json};

use document::document;

use crate::app::App;
use crate::caller::tenant;
use crate::http::Problem;
use crate::stored_audio::object_pieces;

/// Makes the routes of files.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        // An upload has limits of its own.
        .route("/v1/files", get(list_files).post(upload::create_file).layer(DefaultBodyLimit::disable()))
        .route("/v1/files/{id}", get(get_file).delete(delete_file))
        .route("/v1/files/{id}/content", get(file_content))
}

/// Reads the record of a tenant's file.
pub(crate) async fn own_file(app: &App, headers: &HeaderMap, id: &str) -> Result<FileRecord, Problem> {
    app.batches.file(&tenant(headers)?, id).await?.ok_or_else(|| Problem::no_file(id))
}

/// Answers with a page of the tenant's files.
async fn list_files(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let page = app.batches.files(&tenant(&headers)?, query.after.as_deref(), query.limit()?).await?;
    let wanted = |file: &&FileRecord| query.purpose.as_ref().is_none_or(|purpose| *purpose == file.purpose);
    let files: Vec<_> = page.records.iter().filter(wanted).map(document).collect();
    Ok(Json(list(&files, page.has_more)))
}

/// Answers with the record of a file.
async fn get_file(State(app): State<App>, headers: HeaderMap, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(document(&own_file(&app, &headers, &id).await?)))
}

/// Removes a file. A batch that was made from it goes on, because it has the lines once they were
/// found good.
async fn delete_file(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let file = own_file(&app, &headers, &id).await?;
    app.batches.forget_file(&file.tenant, &id).await?;
    app.store.delete(&key(&file)?).await?;
    Ok(Json(json!({"id": id, "object": "file", "deleted": true})))
}

/// Answers with the bytes of a file.
async fn file_content(State(app): State<App>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Problem> {
    let file = own_file(&app, &headers, &id).await?;
    let pieces = object_pieces(app.store.clone(), key(&file)?, 0..file.bytes);
    let described = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, file.bytes.to_string())];
    Ok((described, Body::from_stream(pieces)).into_response())
}

/// Returns the store key of a file.
fn key(file: &FileRecord) -> Result<ObjectKey, Problem> {
    file.key.parse().map_err(Problem::internal)
}
