//! Decoding of a job's hash into a [`JobRecord`].

use std::collections::HashMap;

use jiff::Timestamp;

use super::QueueError;
use csm_shared::job::{JobId, JobRecord};

/// Fields of the hash that make a record, in the order in which [`read`] is given their values.
pub(super) const FIELDS: [&str; 17] = [
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
    "warnings",
];

/// Decodes the record; returns `None` if there is no such job.
///
/// # Errors
/// [`QueueError::Unreadable`] names the field.
pub(super) fn read(id: &JobId, fields: Vec<Option<String>>) -> Result<Option<JobRecord>, QueueError> {
    let corrupt = |what: &str| QueueError::Unreadable { id: *id, why: what.to_owned() };
    if fields.len() != FIELDS.len() {
        return Err(corrupt("wrong number of fields"));
    }
    let named = FIELDS.into_iter().zip(fields);
    let mut hash: HashMap<_, _> = named.filter_map(|(name, value)| Some((name, value?))).collect();
    let Some(state) = hash.remove("state") else { return Ok(None) };
    let text = hash.remove("lane").unwrap_or_default();
    let lane = text.parse().map_err(|_| corrupt("lane"))?;
    let text = hash.remove("tenant").unwrap_or_default();
    let tenant = text.parse().map_err(|_| corrupt("tenant"))?;
    let number = |name: &str| -> Result<u64, QueueError> {
        hash.get(name).and_then(|text| text.parse().ok()).ok_or_else(|| corrupt(name))
    };
    let instant = |name: &str| -> Result<Option<Timestamp>, QueueError> {
        let ms = hash.get(name).map(|text| text.parse::<i64>().map_err(|_| corrupt(name))).transpose()?;
        ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|_| corrupt(name))).transpose()
    };
    Ok(Some(JobRecord {
        id: *id,
        state: state.parse().map_err(|why: String| corrupt(&why))?,
        lane,
        attempt: number("attempt")?,
        failures: number("failures")? as u32,
        crashes: number("crashes")? as u32,
        suspect: hash.contains_key("suspect"),
        tenant,
        worker: hash.get("owner").cloned(),
        cancel_requested: hash.contains_key("cancel"),
        max_frames: number("max_frames")? as u32,
        created: instant("created_ms")?.ok_or_else(|| corrupt("created_ms"))?,
        started: instant("started_ms")?,
        finished: instant("finished_ms")?,
        receipt: hash
            .get("receipt")
            .map(|json| serde_json::from_str(json))
            .transpose()
            .map_err(|_| corrupt("receipt"))?,
        failure: hash
            .get("failure")
            .map(|json| serde_json::from_str(json))
            .transpose()
            .map_err(|_| corrupt("failure"))?,
        replayed_as: hash.get("replayed_as").map(|id| id.parse().map_err(|_| corrupt("replayed_as"))).transpose()?,
        warnings: hash
            .get("warnings")
            .map(|json| serde_json::from_str(json))
            .transpose()
            .map_err(|_| corrupt("warnings"))?
            .unwrap_or_default(),
    }))
}

/// Parses the id of a job that a script answers.
pub(super) fn job_id(text: &str) -> Result<JobId, QueueError> {
    text.parse().map_err(|_| QueueError::Corrupt(format!("job id {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    /// Names in the table of the job's hash at the head of `prelude.lua`.
    fn listed(prelude: &str) -> Vec<&str> {
        let (_, table) = prelude.split_once("-- A job's hash:").expect("the table");
        let (table, _) = table.split_once("-- The book").expect("the end of the table");
        table.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| !word.is_empty()).collect()
    }

    /// Names that a script reads by `get(id, 'name', ...)`.
    fn read_by(script: &str) -> impl Iterator<Item = &str> {
        let calls = script.split("get(").skip(1).filter_map(|call| call.split_once(')'));
        calls
            .filter(|(arguments, _)| arguments.starts_with("id,"))
            .flat_map(|(arguments, _)| arguments.split('\'').skip(1).step_by(2))
    }

    #[test]
    fn every_field_is_in_the_table_of_the_prelude() {
        let prelude = include_str!("lua/prelude.lua");
        let listed = listed(prelude);
        let scripts = [
            prelude,
            include_str!("lua/admission.lua"),
            include_str!("lua/claim.lua"),
            include_str!("lua/enqueue.lua"),
            include_str!("lua/reconcile.lua"),
            include_str!("lua/replay.lua"),
        ];
        let read: Vec<_> = scripts.into_iter().flat_map(read_by).collect();
        assert!(read.len() > 30, "{read:?}");
        for name in FIELDS.into_iter().chain(read) {
            assert!(listed.contains(&name), "{name} is not in the table of prelude.lua");
        }
    }
}
