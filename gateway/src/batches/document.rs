//! The document of a batch, in OpenAI's shape, with some members more.

use csm_queue::batches::{Batch, BatchRecord};
use serde_json::{Value, json};

/// Returns the document of a batch.
pub(super) fn document(batch: &Batch) -> Value {
    let record = &batch.record;
    let times = &record.times;
    json!({
        "id": record.id,
        "object": "batch",
        "endpoint": record.endpoint,
        "errors": errors(record),
        "input_file_id": record.input_file_id,
        "completion_window": record.completion_window,
        "status": record.status,
        "output_file_id": record.output_file_id,
        "error_file_id": record.error_file_id,
        "created_at": times.created_at,
        "in_progress_at": times.in_progress_at,
        "expires_at": times.expires_at,
        "finalizing_at": times.finalizing_at,
        "completed_at": times.completed_at,
        "failed_at": times.failed_at,
        "expired_at": times.expired_at,
        "cancelling_at": times.cancelling_at,
        "cancelled_at": times.cancelled_at,
        "request_counts": {"total": record.total, "completed": record.completed, "failed": record.failed},
        "metadata": record.metadata,
        "paused": batch.paused && !record.status.is_final(),
        "shards": record.committed.shards,
        "audio_ms": record.committed.audio_ms,
    })
}

fn errors(record: &BatchRecord) -> Value {
    if record.errors.is_empty() {
        return Value::Null;
    }
    json!({"object": "list", "data": record.errors})
}
