//! Redis and the store at the end, read with plain commands and plain files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Context as _;
use csm_shared::process::digest::sha256_hex;
use redis::aio::MultiplexedConnection;
use serde_json::Value;

use super::soak_evidence::{BytesSeen, Census, ReceiptSeen, Record, Sighting};

/// Prefix of the keys of the only shard.
pub(super) const ROOT: &str = "csm:{q0}:";
/// Fields of a job's hash that make a sighting, in the order that [`sighting`] expects.
pub(super) const JOB_FIELDS: [&str; 3] = ["state", "attempt", "receipt"];
/// Keys read in one round trip.
const BATCH: usize = 500;

/// Makes a sighting from [`JOB_FIELDS`]; `None` if the job does not exist.
pub(super) fn sighting(fields: &[Option<String>]) -> Option<Sighting> {
    let field = |place: usize| fields.get(place).and_then(Option::as_deref);
    let receipt = field(2).and_then(|json| serde_json::from_str::<Value>(json).ok());
    Some(Sighting {
        state: field(0)?.to_owned(),
        attempt: field(1).and_then(|attempt| attempt.parse().ok()).unwrap_or_default(),
        receipt: receipt.as_ref().and_then(receipt_of),
    })
}

/// Reads the promises of a receipt; `None` if a part is missing.
pub(super) fn receipt_of(receipt: &Value) -> Option<ReceiptSeen> {
    Some(ReceiptSeen {
        attempt: receipt["attempt"].as_u64()?,
        sha256: receipt["sha256"].as_str()?.to_owned(),
        bytes: receipt["bytes"].as_u64()?,
        location: receipt["location"].as_str()?.to_owned(),
    })
}

/// Returns digest and length of the bytes.
pub(super) fn bytes_seen(bytes: &[u8]) -> BytesSeen {
    BytesSeen { sha256: sha256_hex(bytes), bytes: bytes.len() as u64 }
}

/// Reads everything at the end of a run.
pub(super) async fn census(connection: &mut MultiplexedConnection, store: &Path) -> anyhow::Result<Census> {
    let keys = keys(connection).await.context("the keys of Redis")?;
    let mut files = HashMap::new();
    read_files(store, store, &mut files).context("the files of the store")?;
    Ok(Census { jobs: jobs(connection, &keys).await?, leftovers: leftovers_in(connection, &keys).await?, files })
}

/// Returns what should be empty once all jobs have ended, and is not.
pub(super) async fn leftovers(connection: &mut MultiplexedConnection) -> redis::RedisResult<BTreeMap<String, i64>> {
    let keys = keys(connection).await?;
    leftovers_in(connection, &keys).await
}

async fn keys(connection: &mut MultiplexedConnection) -> redis::RedisResult<Vec<String>> {
    let (mut all, mut cursor) = (Vec::new(), 0_u64);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("csm:{q*").arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(connection).await?;
        all.extend(keys);
        if next == 0 {
            all.sort_unstable();
            all.dedup();
            return Ok(all);
        }
        cursor = next;
    }
}

/// Returns the part of a key that follows its shard.
fn name(key: &str) -> &str {
    key.split_once("}:").map_or(key, |(_, name)| name)
}

async fn jobs(connection: &mut MultiplexedConnection, keys: &[String]) -> redis::RedisResult<HashMap<String, Record>> {
    let keys: Vec<_> = keys.iter().filter_map(|key| Some((key, name(key).strip_prefix("job:")?))).collect();
    let mut jobs = HashMap::new();
    for batch in keys.chunks(BATCH) {
        let mut pipe = redis::pipe();
        for (key, _) in batch {
            pipe.cmd("HMGET").arg(key).arg(&JOB_FIELDS).arg("failure");
        }
        let records: Vec<Vec<Option<String>>> = pipe.query_async(connection).await?;
        for ((_, id), fields) in batch.iter().zip(&records) {
            let Some(seen) = sighting(fields) else { continue };
            let failure = fields.last().and_then(Option::as_deref);
            let failure = failure.and_then(|json| serde_json::from_str::<Value>(json).ok());
            let failure = failure.and_then(|failure| Some(failure["class"].as_str()?.to_owned()));
            jobs.insert((*id).to_owned(), Record { seen, failure });
        }
    }
    Ok(jobs)
}

async fn leftovers_in(
    connection: &mut MultiplexedConnection,
    keys: &[String],
) -> redis::RedisResult<BTreeMap<String, i64>> {
    let mut left = BTreeMap::new();
    for key in keys {
        let name = name(key);
        let count = match name {
            "leases" | "delayed" | "deadlines" => Some("ZCARD"),
            "open" | "parked" => Some("SCARD"),
            _ if name.starts_with("parked:") => Some("LLEN"),
            _ if name.starts_with("s:") => Some("XLEN"),
            _ if name.starts_with("waits:") => Some("ZCARD"),
            _ => None,
        };
        if let Some(command) = count {
            left.insert(key.clone(), redis::cmd(command).arg(key).query_async(connection).await?);
        }
        if name.starts_with("s:") {
            left.insert(format!("{key} pending"), pending(connection, key).await?);
        }
        if name == "book" || name == "tenants" {
            let counters: HashMap<String, String> = redis::cmd("HGETALL").arg(key).query_async(connection).await?;
            // Waiting, running and suspect counts of the book; every count of the tenants.
            let counts = |field: &str| {
                name == "tenants"
                    || field == "suspects"
                    || field.starts_with("waiting:")
                    || field.starts_with("running:")
            };
            for (field, value) in counters.iter().filter(|(field, _)| counts(field)) {
                left.insert(format!("{key} {field}"), value.parse().unwrap_or(i64::MAX));
            }
        }
    }
    left.retain(|_, &mut amount| amount != 0);
    Ok(left)
}

/// Returns how many entries of a stream were delivered and not acknowledged, over all groups.
async fn pending(connection: &mut MultiplexedConnection, stream: &str) -> redis::RedisResult<i64> {
    let groups: Vec<HashMap<String, redis::Value>> =
        redis::cmd("XINFO").arg("GROUPS").arg(stream).query_async(connection).await?;
    let pending = |group: &HashMap<String, redis::Value>| match group.get("pending") {
        Some(redis::Value::Int(pending)) => *pending,
        _ => 0,
    };
    Ok(groups.iter().map(pending).sum())
}

/// Reads whole files only: the name of an unfinished one begins with a dot.
fn read_files(root: &Path, folder: &Path, files: &mut HashMap<String, BytesSeen>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_files(root, &path, files)?;
        } else if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            let key = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.insert(key, bytes_seen(&std::fs::read(&path)?));
        }
    }
    Ok(())
}
