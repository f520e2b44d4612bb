//! `POST /v1/batches`: an order to speak the lines of a file.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use csm_queue::batches::{Batch, BatchRecord, BatchStatus, BatchTimes, CommittedLines, InputKind, OPEN_BATCHES_MAX};
use csm_shared::job::Invalid;
use csm_shared::job::limits::Limit;
use serde_json::Value;
use uuid::Uuid;

use super::document::document;
use super::finish::now;
use crate::app::App;
use crate::caller::Caller;
use crate::files::own_file;
use crate::http::Problem;
use crate::http::media_type::require_json;
use crate::message_fields::MessageFields;

/// Longest run of a batch, in seconds.
const WINDOW_SECONDS: Limit = Limit { min: 1, max: 30 * 24 * 3_600, unit: "s", status: 422 };
/// Time for which output and record are kept, in seconds.
const KEPT_SECONDS: Limit = Limit { min: 3_600, max: 30 * 24 * 3_600, unit: "s", status: 422 };
/// Pairs of the metadata, as in OpenAI's API.
const METADATA_PAIRS: Limit = Limit { min: 0, max: 16, unit: "pairs", status: 422 };
/// Characters of a name in the metadata.
const METADATA_NAME_CHARS: Limit = Limit { min: 1, max: 64, unit: "characters", status: 422 };
/// Characters of a value in the metadata.
const METADATA_VALUE_CHARS: Limit = Limit { min: 0, max: 512, unit: "characters", status: 422 };

/// Fields of the request.
const FIELDS: [&str; 5] = ["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"];

/// Creates a batch and answers with its record. A request with an `Idempotency-Key` can be repeated.
pub(super) async fn create_batch(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let headers = request.headers().clone();
    let mut body = app.bodies.read(request).await?;
    require_json(&headers)?;
    let caller = Caller::by_key(&app, &headers).await?;
    let body = body.text_object().await?;
    let fields = MessageFields::of(&body);
    if let Some(unknown) = body.as_object().and_then(|body| body.keys().find(|name| !FIELDS.contains(&name.as_str()))) {
        return Err(fields.refuse(unknown, format!("a known field; there are {}", FIELDS.join(", "))).into());
    }
    let input = fields.string("input_file_id")?.ok_or_else(|| fields.missing("input_file_id", "the id of a file"))?;
    let endpoints = "/v1/audio/speech or /v1/jobs";
    let endpoint = fields.string("endpoint")?.ok_or_else(|| fields.missing("endpoint", endpoints))?;
    let endpoint = endpoint.parse().map_err(|_| fields.refuse("endpoint", endpoints))?;
    let window = fields.string("completion_window")?;
    let window = window.ok_or_else(|| fields.missing("completion_window", "a time such as 24h"))?;
    let seconds =
        window_seconds(window).ok_or_else(|| Invalid::outside("completion_window", window, &WINDOW_SECONDS))?;
    let (metadata, expires_after) = (metadata(&fields)?, expires_after(&fields)?);
    let file = own_file(&app, &headers, input).await?;
    let created_at = now();
    let record = BatchRecord {
        id: format!("batch_{}", Uuid::from(caller.job).simple()),
        tenant: caller.tenant,
        endpoint,
        input_file_id: file.id,
        input_key: file.key,
        input_bytes: file.bytes,
        input_kind: kind_of(&file.filename)?,
        completion_window: window.to_owned(),
        metadata,
        expires_after,
        status: BatchStatus::Validating,
        times: BatchTimes { created_at, expires_at: created_at + seconds, ..BatchTimes::default() },
        lines_key: None,
        lines_bytes: 0,
        total: 0,
        committed: CommittedLines::default(),
        completed: 0,
        failed: 0,
        errors: Vec::new(),
        takes: 0,
        output_file_id: None,
        error_file_id: None,
    };
    if !app.batches.create(&record).await? {
        return Err(Problem::too_many_batches(OPEN_BATCHES_MAX));
    }
    app.batch_created.notify_one();
    tracing::info!(batch = %record.id, file = %record.input_file_id, "accepted batch");
    let batch = match caller.repeats {
        false => Batch { record, cancel: false, paused: false },
        // The first request may have made it a while ago.
        true => app.batches.get(&record.tenant, &record.id).await?.ok_or_else(|| Problem::no_batch(&record.id))?,
    };
    Ok(Json(document(&batch)))
}

/// Returns the format that the name of a file tells; a name without an extension is one of JSON lines.
pub(super) fn kind_of(filename: &str) -> Result<InputKind, Invalid> {
    let Some((_, extension)) = filename.rsplit_once('.') else { return Ok(InputKind::Jsonl) };
    extension.parse().map_err(|_| {
        let known = "a file named .jsonl, .csv, .tsv, .txt, .srt or .vtt";
        Invalid::malformed("input_file_id", filename, known)
    })
}

/// Reads a time such as `24h`, `7d`, `30m` or `90s`, in seconds within [`WINDOW_SECONDS`].
fn window_seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 24 * 3_600,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    WINDOW_SECONDS.allows(seconds).then_some(seconds.cast_signed())
}

fn metadata(fields: &MessageFields<'_>) -> Result<BTreeMap<String, String>, Invalid> {
    let Some(object) = fields.object("metadata")? else { return Ok(BTreeMap::new()) };
    let pairs = object.value().as_object().into_iter().flatten();
    let mut metadata = BTreeMap::new();
    for (name, value) in pairs {
        let path = format!("metadata.{name}");
        let value = value.as_str().ok_or_else(|| Invalid::malformed(&path, value, "a string"))?;
        if !METADATA_NAME_CHARS.allows(name.chars().count() as u64) {
            return Err(Invalid::outside("metadata", format!("the name {name:?}"), &METADATA_NAME_CHARS));
        }
        if !METADATA_VALUE_CHARS.allows(value.chars().count() as u64) {
            return Err(Invalid::outside(&path, value, &METADATA_VALUE_CHARS));
        }
        metadata.insert(name.clone(), value.to_owned());
    }
    if !METADATA_PAIRS.allows(metadata.len() as u64) {
        return Err(Invalid::outside("metadata", format!("{} pairs", metadata.len()), &METADATA_PAIRS));
    }
    Ok(metadata)
}

fn expires_after(fields: &MessageFields<'_>) -> Result<i64, Invalid> {
    let Some(after) = fields.object("output_expires_after")? else { return Ok(KEPT_SECONDS.max.cast_signed()) };
    if after.string("anchor")? != Some("created_at") {
        return Err(after.refuse("anchor", "created_at"));
    }
    let seconds = after.number("seconds")?.ok_or_else(|| after.missing("seconds", KEPT_SECONDS.describe()))?;
    match seconds as u64 {
        whole if whole as f64 == seconds && KEPT_SECONDS.allows(whole) => Ok(whole.cast_signed()),
        _ => Err(Invalid::outside("output_expires_after.seconds", seconds, &KEPT_SECONDS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_whole_times_within_the_limit() {
        let read = ["24h", "7d", "30m", "1s", "30d"].map(window_seconds);
        assert_eq!(read, [Some(86_400), Some(604_800), Some(1_800), Some(1), Some(2_592_000)]);
        for refused in ["", "h", "0h", "31d", "24", "24 h", "-1h", "1.5h", "ä", "99999999999999999999d"] {
            assert_eq!(window_seconds(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn the_extension_of_a_name_tells_the_format() {
        assert_eq!(kind_of("lines.CSV"), Ok(InputKind::Csv));
        assert_eq!(kind_of("a.b.vtt"), Ok(InputKind::Vtt));
        assert_eq!(kind_of("lines"), Ok(InputKind::Jsonl));
        assert_eq!(kind_of("lines.doc").map_err(|refused| refused.field), Err("input_file_id".to_owned()));
    }
}
