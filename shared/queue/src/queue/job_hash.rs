//! Decoding of a job's hash into a [`JobRecord`].

use jiff::Timestamp;

use super::QueueError;
use csm_shared::job::{JobId, JobRecord};

/// Fields of the hash that make a record, in the order that [`read`] expects.
pub(super) const FIELDS: [&str; 16] = [
    "state",
    "lane",
    "attempt",
    "failures",
    "crashes",
    "suspect",
    "tenant",
    "owner",
    "cancel",
    "max_frames",
    "created_ms",
    "started_ms",
    "finished_ms",
    "receipt",
    "failure",
    "replayed_as",
];

/// Decodes the record; returns `None` if there is no such job.
pub(super) fn read(id: &JobId, fields: Vec<Option<String>>) -> Result<Option<JobRecord>, QueueError> {
    let corrupt = |what: &str| QueueError::Corrupt(format!("{id}: {what}"));
    let fields: [Option<String>; FIELDS.len()] = fields.try_into().map_err(|_| corrupt("wrong number of fields"))?;
    let [
        state,
        lane,
        attempt,
        failures,
        crashes,
        suspect,
        tenant,
        worker,
        cancel,
        max_frames,
        created,
        started,
        finished,
        receipt,
        failure,
        replayed_as,
    ] = fields;
    let Some(state) = state else { return Ok(None) };
    let number = |field: Option<String>, name: &str| -> Result<u64, QueueError> {
        field.as_deref().and_then(|text| text.parse().ok()).ok_or_else(|| corrupt(name))
    };
    let instant = |field: Option<String>, name: &str| -> Result<Option<Timestamp>, QueueError> {
        let ms = field.map(|text| text.parse::<i64>().map_err(|_| corrupt(name))).transpose()?;
        ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|_| corrupt(name))).transpose()
    };
    Ok(Some(JobRecord {
        id: *id,
        state: state.parse().map_err(QueueError::Corrupt)?,
        lane: lane.unwrap_or_default().parse().map_err(|_| corrupt("lane"))?,
        attempt: number(attempt, "attempt")?,
        failures: number(failures, "failures")? as u32,
        crashes: number(crashes, "crashes")? as u32,
        suspect: suspect.is_some(),
        tenant: tenant.unwrap_or_default().parse().map_err(|_| corrupt("tenant"))?,
        worker,
        cancel_requested: cancel.is_some(),
        max_frames: number(max_frames, "max_frames")? as u32,
        created: instant(created, "created_ms")?.ok_or_else(|| corrupt("created_ms"))?,
        started: instant(started, "started_ms")?,
        finished: instant(finished, "finished_ms")?,
        receipt: receipt.map(|json| serde_json::from_str(&json)).transpose()?,
        failure: failure.map(|json| serde_json::from_str(&json)).transpose()?,
        replayed_as: replayed_as.map(|id| id.parse().map_err(|_| corrupt("replayed_as"))).transpose()?,
    }))
}

pub(super) fn job_id(text: &str) -> Result<JobId, QueueError> {
    text.parse().map_err(|_| QueueError::Corrupt(format!("job id {text:?}")))
}
