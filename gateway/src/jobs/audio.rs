//! `GET /v1/jobs/{id}/audio`: the file, whole or in part, or a redirect to the store's URL of it.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, LOCATION,
    RANGE,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use csm_shared::job::Receipt;
use csm_shared::process::connections::Peer;

use super::{receipt, record};
use crate::app::App;
use crate::http::Problem;
use crate::http::range::{Requested, requested};
use crate::provenance_headers::Provenance;
use crate::stored_audio::{StoredAudio, location};

/// Validity of a signed URL.
const URL_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// `Cache-Control` of a result, which never changes.
const CACHE_FOREVER: &str = "private, max-age=86400, immutable";

/// Answers with the audio of a job that has succeeded.
pub(crate) async fn get_audio(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let record = record(&app.queue, &headers, &id).await?;
    let (id, receipt) = (record.id, receipt(record)?);
    let provenance = Provenance::of(&receipt);
    let etag = format!("\"{}\"", receipt.sha256);
    if matches_any(&headers, &etag) {
        let known = [(ETAG, etag), (CACHE_CONTROL, CACHE_FOREVER.to_owned())];
        return Ok((StatusCode::NOT_MODIFIED, provenance, known).into_response());
    }
    if let Some(url) = signed_url(&app, &receipt).await? {
        let there = [(LOCATION, url), (CACHE_CONTROL, "no-store".to_owned())];
        return Ok((StatusCode::FOUND, provenance, there).into_response());
    }
    let always = [
        (CONTENT_TYPE, receipt.format.media_type().to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CACHE_CONTROL, CACHE_FOREVER.to_owned()),
        (ETAG, etag.clone()),
    ];
    let (status, range, part) = match range_of(&headers, &etag, receipt.bytes)? {
        None => (StatusCode::OK, 0..receipt.bytes, None),
        Some(range) => {
            let shown = format!("bytes {}-{}/{}", range.start, range.end - 1, receipt.bytes);
            (StatusCode::PARTIAL_CONTENT, range, Some([(CONTENT_RANGE, shown)]))
        }
    };
    let length = [(CONTENT_LENGTH, (range.end - range.start).to_string())];
    let pieces = StoredAudio::of(&app, peer, id, &receipt)?.pieces(range).await?;
    Ok((status, provenance, always, length, part, Body::from_stream(pieces)).into_response())
}

/// Returns a URL of the store, if redirects are wanted and the store can sign URLs.
async fn signed_url(app: &App, receipt: &Receipt) -> Result<Option<String>, Problem> {
    if !app.redirect_audio {
        return Ok(None);
    }
    Ok(app.store.presign_get(&location(receipt)?, URL_LIFETIME).await?)
}

/// Reads the part that is asked for; `None` means the whole file. A range is ignored if `If-Range`
/// names another version of the file.
fn range_of(headers: &HeaderMap, etag: &str, bytes: u64) -> Result<Option<std::ops::Range<u64>>, Problem> {
    let of_this_version = text(headers, &IF_RANGE).is_none_or(|condition| condition == etag);
    match text(headers, &RANGE).filter(|_| of_this_version) {
        None => Ok(None),
        Some(range) => match requested(range, bytes) {
            Requested::Whole => Ok(None),
            Requested::Part(part) => Ok(Some(part)),
            Requested::Unsatisfiable => Err(Problem::unsatisfiable_range(range, bytes)),
        },
    }
}

/// Returns whether `If-None-Match` names the file's version.
fn matches_any(headers: &HeaderMap, etag: &str) -> bool {
    let known = text(headers, &IF_NONE_MATCH).unwrap_or_default();
    known.split(',').map(|known| known.trim().trim_start_matches("W/")).any(|known| known == etag || known == "*")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
