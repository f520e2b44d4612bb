//! Store keys of a batch's objects. All lie below `audio/`, because the rights and rules of a bucket may
//! hold for that prefix alone.

use csm_shared::store::{InvalidObjectKey, ObjectKey};

/// Returns the key of the checked lines.
pub(super) fn lines(batch: &str) -> Result<ObjectKey, InvalidObjectKey> {
    ObjectKey::new(format!("audio/batches/{batch}/lines.jsonl"))
}

/// Returns the key of a shard of outcomes, from 0.
pub(super) fn shard(batch: &str, number: u64) -> Result<ObjectKey, InvalidObjectKey> {
    ObjectKey::new(format!("audio/batches/{batch}/shards/{number:07}.jsonl"))
}

/// Returns the key of a file that the batch leaves: `output` or `errors`. After lines were spoken again,
/// `take` times, it is another one: whoever reads the old file is not disturbed.
pub(super) fn left(batch: &str, name: &str, take: u64) -> Result<ObjectKey, InvalidObjectKey> {
    let take = if take == 0 { String::new() } else { format!("-{take}") };
    ObjectKey::new(format!("audio/batches/{batch}/{name}{take}.jsonl"))
}
