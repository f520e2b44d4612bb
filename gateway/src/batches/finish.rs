//! The end of a batch: its shards become the output and the errors, and the record tells the end.

use std::sync::Arc;

use csm_queue::batches::{Batch, BatchRecord, BatchStatus, FileRecord};
use csm_shared::process::digest::sha256_hex;
use csm_shared::store::{ObjectKey, Upload};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::fault::FeedFault;
use super::keys;
use crate::app::App;

/// Purpose of the files that a batch leaves.
const OUTPUT_PURPOSE: &str = "batch_output";
/// Time between two renewals of the lease.
const RENEW_EVERY: std::time::Duration = std::time::Duration::from_secs(2);
/// Digits of a file's id.
const ID_DIGITS: usize = 32;

/// The part of an outcome that tells which file it belongs to.
#[derive(Deserialize)]
struct Spoken {
    response: Option<IgnoredAny>,
}

/// Joins the shards of a batch, and ends it. Repeating the call is harmless.
pub(super) async fn finish(app: &App, owner: &Arc<str>, mut batch: Batch) -> Result<(), FeedFault> {
    if batch.record.status == BatchStatus::InProgress {
        batch.record.status = BatchStatus::Finalizing;
        batch.record.times.finalizing_at = Some(now());
        batch = app.batches.save(&batch.record, owner).await?.ok_or(FeedFault::LeaseLost)?;
    }
    let mut record = batch.record;
    let mut output = OutputFile::begin(app, &record, "output").await?;
    let mut errors = OutputFile::begin(app, &record, "errors").await?;
    let mut renewed = Instant::now();
    for number in 0..record.committed.shards {
        let shard = app.store.get(&keys::shard(&record.id, number)?).await?;
        for line in shard.split_inclusive(|&byte| byte == b'\n') {
            let spoken: Spoken = serde_json::from_slice(line)?;
            let file = if spoken.response.is_some() { &mut output } else { &mut errors };
            file.write(line).await?;
        }
        if renewed.elapsed() > RENEW_EVERY {
            app.batches.save(&record, owner).await?.ok_or(FeedFault::LeaseLost)?;
            renewed = Instant::now();
        }
        if app.stop.is_cancelled() {
            return Err(FeedFault::Stopped);
        }
    }
    record.output_file_id = output.end(app, &record).await?;
    record.error_file_id = errors.end(app, &record).await?;
    end(&mut record);
    app.batches.save(&record, owner).await?.ok_or(FeedFault::LeaseLost)?;
    tracing::info!(batch = %record.id, status = record.status.name(), spoken = record.completed,
        failed = record.failed, "batch ended");
    Ok(())
}

/// Sets the final state of a batch whose output is there.
fn end(record: &mut BatchRecord) {
    let time = Some(now());
    (record.completed, record.failed) = (record.committed.completed, record.committed.failed);
    if record.times.cancelling_at.is_some() {
        record.status = BatchStatus::Cancelled;
        record.times.cancelled_at = record.times.cancelled_at.or(time);
    } else if record.times.expired_at.is_some() {
        record.status = BatchStatus::Expired;
    } else {
        record.status = BatchStatus::Completed;
        record.times.completed_at = record.times.completed_at.or(time);
    }
}

/// Returns the time at which the objects of a batch are removed.
pub(super) fn kept_until(record: &BatchRecord) -> Timestamp {
    Timestamp::from_second(record.forget_at()).unwrap_or(Timestamp::MAX)
}

/// Returns the present in Unix seconds.
pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A file that a batch leaves, while it is written.
struct OutputFile {
    id: String,
    key: ObjectKey,
    name: String,
    upload: Upload,
    bytes: u64,
}

impl OutputFile {
    async fn begin(app: &App, batch: &BatchRecord, name: &str) -> Result<Self, FeedFault> {
        let key = keys::left(&batch.id, name, batch.takes)?;
        app.temporary_objects.register(&key, kept_until(batch)).await?;
        let upload = app.store.upload(&key, "application/jsonl").await?;
        // The same batch leaves the same files, however often it is finished.
        let digest = sha256_hex(key.as_str().as_bytes());
        let (id, name) = (format!("file-{}", &digest[..ID_DIGITS]), format!("{}_{name}.jsonl", batch.id));
        Ok(Self { id, key, name, upload, bytes: 0 })
    }

    async fn write(&mut self, line: &[u8]) -> Result<(), FeedFault> {
        self.bytes += line.len() as u64;
        Ok(self.upload.write(line).await?)
    }

    /// Ends the file and returns its id; a file without a line is none.
    async fn end(self, app: &App, batch: &BatchRecord) -> Result<Option<String>, FeedFault> {
        if self.bytes == 0 {
            return Ok(None);
        }
        self.upload.finish().await?;
        let file = FileRecord {
            id: self.id,
            tenant: batch.tenant.clone(),
            filename: self.name,
            purpose: OUTPUT_PURPOSE.to_owned(),
            bytes: self.bytes,
            key: self.key.to_string(),
            created_at: now(),
            expires_at: batch.forget_at(),
        };
        app.batches.put_file(&file).await?;
        Ok(Some(file.id))
    }
}
