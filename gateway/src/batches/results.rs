//! Results of a batch as they come: its shards, and the audio of its lines.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use csm_queue::batches::BatchRecord;
use csm_shared::job::{AudioFormat, TurnReceipt};
use csm_shared::store::ObjectKey;
use serde::Deserialize;
use serde_json::Value;

use super::fault::FeedFault;
use super::keys;
use super::outcome::Outcome;
use super::own_batch;
use crate::app::App;
use crate::cues::{CuesQuery, answer, cues};
use crate::http::Problem;
use crate::stored_audio::object_pieces;

/// Facts of a line's audio that its answer needs.
#[derive(Deserialize)]
pub(super) struct LineAudio {
    pub(super) custom_id: String,
    pub(super) key: String,
    pub(super) bytes: u64,
    sha256: String,
    pub(super) format: AudioFormat,
}

impl LineAudio {
    /// Reads the facts of a line that was spoken.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let response = outcome.response.as_ref()?;
        serde_json::from_value(response.body.clone()).ok()
    }

    /// Returns the key of the audio.
    pub(super) fn key(&self) -> Result<ObjectKey, Problem> {
        self.key.parse().map_err(Problem::internal)
    }
}

/// Answers with the outcomes of a shard, as JSON lines in the order of the file.
pub(super) async fn shard(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, number)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let record = own_batch(&app, &headers, &id).await?.record;
    let shard = read_shard(&app, &record, number).await?;
    Ok(([(CONTENT_TYPE, "application/jsonl")], shard).into_response())
}

/// Answers with the audio of a line.
pub(super) async fn line_audio(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, line)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let record = own_batch(&app, &headers, &id).await?.record;
    let none = || Problem::no_line(format!("Line {line} of the batch was not spoken, or not yet."));
    let audio =
        find_line(&app, &record, line).await?.and_then(|(_, outcome)| LineAudio::of(&outcome)).ok_or_else(none)?;
    let described = [
        (CONTENT_TYPE, audio.format.media_type().to_owned()),
        (CONTENT_LENGTH, audio.bytes.to_string()),
        (ETAG, format!("\"{}\"", audio.sha256)),
    ];
    let pieces = object_pieces(app.store.clone(), audio.key()?, 0..audio.bytes);
    Ok((described, Body::from_stream(pieces)).into_response())
}

/// Answers with the cues of a line that is a dialogue.
pub(super) async fn line_cues(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, line)): Path<(String, u64)>,
    Query(query): Query<CuesQuery>,
) -> Result<Response, Problem> {
    let record = own_batch(&app, &headers, &id).await?.record;
    let none = || Problem::no_line(format!("Line {line} of the batch is no dialogue that was spoken."));
    let (_, outcome) = find_line(&app, &record, line).await?.ok_or_else(none)?;
    let turns = outcome.response.and_then(|mut response| response.body.get_mut("turns").map(Value::take));
    let turns: Vec<TurnReceipt> = serde_json::from_value(turns.ok_or_else(none)?).map_err(Problem::internal)?;
    Ok(answer(&cues(&turns, &[]), &query)?)
}

/// Reads the outcomes of a shard.
pub(super) async fn read_shard(app: &App, record: &BatchRecord, number: u64) -> Result<Bytes, Problem> {
    if number >= record.committed.shards {
        let detail = format!("Shard {number} of the batch is not there; {} are.", record.committed.shards);
        return Err(Problem::no_line(detail));
    }
    let key = keys::shard(&record.id, number).map_err(Problem::internal)?;
    Ok(app.store.get(&key).await?)
}

/// Reads the outcomes of a shard, one by one.
pub(super) fn outcomes(shard: &Bytes) -> impl Iterator<Item = Result<Outcome, FeedFault>> + '_ {
    let lines = shard.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Ok(serde_json::from_slice(line)?))
}

/// Finds the shard and the outcome of a line of the input file. Lines of the file are in the order of the shards, so
/// half of the shards that are left is ruled out by each one that is read.
pub(super) async fn find_line(app: &App, record: &BatchRecord, line: u64) -> Result<Option<(u64, Outcome)>, Problem> {
    let (mut low, mut high) = (0, record.committed.shards);
    while low < high {
        let middle = low + (high - low) / 2;
        let shard = read_shard(app, record, middle).await?;
        let mut last = 0;
        for outcome in outcomes(&shard) {
            let outcome = outcome.map_err(Problem::internal)?;
            if outcome.line == line {
                return Ok(Some((middle, outcome)));
            }
            if last == 0 && outcome.line > line {
                high = middle;
            }
            last = outcome.line;
        }
        if high > middle {
            low = middle + 1;
        }
    }
    Ok(None)
}
