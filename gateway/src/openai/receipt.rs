//! `GET /v1/audio/speech/{id}`: the receipt of a speech that has ended.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use csm_shared::job::{JobId, JobRecord, JobState, Receipt};
use serde_json::{Value, json};

use crate::app::App;
use crate::caller::own_record;
use crate::http::Problem;

/// Most jobs of one speech: a text of 100,000 characters has fewer.
const PARTS_MAX: u64 = 1_024;
/// Members of a receipt that are about one file, and of which several jobs have several.
const OF_ONE_FILE: [&str; 4] = ["sha256", "bytes", "location", "watermarks"];

/// Answers with the receipt of the job that a speech's `x-job-id` named. If the speech took several
/// jobs, the receipt is about all of them that have begun, and lists them in `parts`.
pub(crate) async fn speech_receipt(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let none = || Problem::no_job(&id);
    let job: JobId = id.parse().map_err(|_| none())?;
    let record = own_record(&app.queue, &headers, job).await?.ok_or_else(none)?;
    let mut parts = vec![(job, receipt(job, record)?)];
    for number in 1..PARTS_MAX {
        let part = job.part(number);
        match own_record(&app.queue, &headers, part).await? {
            Some(record) => parts.push((part, receipt(part, record)?)),
            None => break,
        }
    }
    Ok(Json(document(&parts)))
}

fn receipt(job: JobId, record: JobRecord) -> Result<Receipt, Problem> {
    match (record.state, record.receipt) {
        (JobState::Succeeded, Some(receipt)) => Ok(receipt),
        (state, _) if state.is_final() => Err(Problem::no_audio(job, state, record.failure)),
        (state, _) => Err(Problem::not_finished(job, state)),
    }
}

/// Returns one receipt as it is, and several as one with their sums.
fn document(parts: &[(JobId, Receipt)]) -> Value {
    let [(_, first), rest @ ..] = parts else { return Value::Null };
    let mut document = json!(first);
    if rest.is_empty() {
        return document;
    }
    let sum = |of: fn(&Receipt) -> u64| parts.iter().map(|(_, receipt)| of(receipt)).sum::<u64>();
    document["samples"] = sum(|receipt| receipt.samples).into();
    document["frames"] = sum(|receipt| receipt.frames.into()).into();
    document["duration_ms"] = sum(|receipt| receipt.duration_ms).into();
    document["compute_ms"] = sum(|receipt| receipt.compute_ms).into();
    let (mut sentences, mut before) = (Vec::new(), 0);
    for (_, receipt) in parts {
        for sentence in &receipt.sentences {
            let mut sentence = sentence.clone();
            sentence.start_ms += before;
            sentences.push(json!(sentence));
        }
        before += receipt.duration_ms;
    }
    document["sentences"] = sentences.into();
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| !OF_ONE_FILE.contains(&name.as_str()));
    }
    let part = |(job, receipt): &(JobId, Receipt)| json!({"job": job.to_string(), "receipt": receipt});
    document["parts"] = parts.iter().map(part).collect::<Vec<_>>().into();
    document
}
