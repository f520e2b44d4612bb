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

/// Returns the key of the spoken lines.
pub(super) fn output(batch: &str) -> Result<ObjectKey, InvalidObjectKey> {
    ObjectKey::new(format!("audio/batches/{batch}/output.jsonl"))
}

/// Returns the key of the other lines.
pub(super) fn errors(batch: &str) -> Result<ObjectKey, InvalidObjectKey> {
    ObjectKey::new(format!("audio/batches/{batch}/errors.jsonl"))
}
