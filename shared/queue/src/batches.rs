//! Files and batches: what Redis knows of bulk work.
//!
//! The lines of a batch are in the store. Redis has one record for each file and batch, and for each
//! unfinished batch a lease: the right of one gateway to feed it. A record is replaced as a whole, by
//! the gateway that has the lease, or by nobody.
//!
//! Orders of callers, to cancel, pause and go on, are marks beside the record. So an order is never
//! lost to a gateway that writes an older record.

mod batch_record;
mod file_record;

pub use batch_record::{
    BatchEndpoint, BatchRecord, BatchStatus, BatchTimes, CommittedLines, InputKind, LINE_ERRORS_MAX, LineError,
};
pub use file_record::{FILE_PURPOSE, FileRecord};

use std::sync::Arc;
use std::time::Duration;

use csm_shared::job::Tenant;
use redis::{Script, ScriptInvocation};

use crate::queue::QueueError;
use crate::redis_client::{RedisClient, RedisFault};

/// Time that a lease on a batch lasts after it was last renewed.
pub const BATCH_LEASE: Duration = Duration::from_secs(10);
/// Most unfinished batches of one tenant.
pub const OPEN_BATCHES_MAX: u64 = 100;
/// Most records that one page of a list has.
pub const PAGE_MAX: usize = 100;
/// Longest wait for the disk of Redis when a record is created.
const FSYNC_LIMIT: Duration = Duration::from_secs(5);

const CREATE: &str = include_str!("batches/lua/create.lua");
const LEASE: &str = include_str!("batches/lua/lease.lua");
const SAVE: &str = include_str!("batches/lua/save.lua");
const ORDER: &str = include_str!("batches/lua/order.lua");
const ORDER_REDO: &str = include_str!("batches/lua/order_redo.lua");
const PUT_FILE: &str = include_str!("batches/lua/put_file.lua");

/// Order of a caller to an unfinished batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOrder {
    /// Ends the batch with what is done.
    Cancel,
    /// Feeds no further lines.
    Pause,
    /// Goes on after a pause.
    Resume,
}

/// A batch with the orders for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Record of the batch.
    pub record: BatchRecord,
    /// True after an order to cancel.
    pub cancel: bool,
    /// True between an order to pause and the next to go on.
    pub paused: bool,
}

/// Files and batches in Redis. Cheap to clone.
#[derive(Clone)]
pub struct Batches {
    redis: RedisClient,
    root: String,
    scripts: Arc<Scripts>,
}

struct Scripts {
    create: Script,
    lease: Script,
    save: Script,
    order: Script,
    order_redo: Script,
    put_file: Script,
}

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Records of the page.
    pub records: Vec<T>,
    /// True if older records follow.
    pub has_more: bool,
}

/// Answer of a script about a batch: record, whether to cancel, whether paused.
type Answer = Option<(String, bool, bool)>;

impl Batches {
    /// Creates a handle. All keys share one hash tag, so they lie on one node of a cluster.
    #[must_use]
    pub fn new(redis: RedisClient) -> Self {
        let root = format!("{}:{{batches}}:", redis.prefix());
        let scripts = Scripts {
            create: Script::new(CREATE),
            lease: Script::new(LEASE),
            save: Script::new(SAVE),
            order: Script::new(ORDER),
            order_redo: Script::new(ORDER_REDO),
            put_file: Script::new(PUT_FILE),
        };
        Self { redis, root, scripts: Arc::new(scripts) }
    }

    /// Creates a batch. Returns false if the tenant has [`OPEN_BATCHES_MAX`] unfinished ones.
    ///
    /// # Errors
    /// [`QueueError`]: the batch may exist all the same, and repeating the call is harmless.
    pub async fn create(&self, record: &BatchRecord) -> Result<bool, QueueError> {
        let mut script = self.scripts.create.key(&self.root);
        script.arg(&record.id).arg(record.tenant.as_str()).arg(serde_json::to_string(record)?);
        script.arg(record.times.created_at).arg(OPEN_BATCHES_MAX);
        Ok(self.create_durably(&script).await? == 1)
    }

    /// Returns a batch of a tenant.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if the record is unreadable.
    pub async fn get(&self, tenant: &Tenant, id: &str) -> Result<Option<Batch>, QueueError> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.batch_key(id)).arg(&["record", "cancel", "paused"]);
        let (record, cancel, paused): (Option<String>, Option<u8>, Option<u8>) = self.redis.command(&read).await?;
        let answer = record.map(|record| (record, cancel.is_some(), paused.is_some()));
        Ok(batch(answer)?.filter(|batch| batch.record.tenant == *tenant))
    }

    /// Returns a page of a tenant's batches, the newest first, behind the batch `after`.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if a record is unreadable.
    pub async fn list(&self, tenant: &Tenant, after: Option<&str>, limit: usize) -> Result<Page<Batch>, QueueError> {
        let (ids, has_more) = self.page(&format!("{}list:{tenant}", self.root), after, limit).await?;
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            records.extend(self.get(tenant, &id).await?);
        }
        Ok(Page { records, has_more })
    }

    /// Returns the ids of all unfinished batches with their tenants.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn open(&self) -> Result<Vec<(String, String)>, QueueError> {
        let mut read = redis::cmd("HGETALL");
        read.arg(format!("{}open", self.root));
        Ok(self.redis.command(&read).await?)
    }

    /// Takes or renews the lease on an unfinished batch. `None` if another gateway has it, or if the
    /// batch has ended.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if the record is unreadable.
    pub async fn lease(&self, id: &str, owner: &str) -> Result<Option<Batch>, QueueError> {
        let mut script = self.scripts.lease.key(&self.root);
        script.arg(id).arg(owner).arg(BATCH_LEASE.as_millis() as u64);
        batch(self.redis.script::<Answer>(&script).await?)
    }

    /// Replaces the record of a leased batch and renews the lease; an ended batch leaves the list of
    /// unfinished ones and is kept until its record expires. `None` if the lease was lost: nothing
    /// was written.
    ///
    /// # Errors
    /// [`QueueError`]: the record may or may not be replaced.
    pub async fn save(&self, record: &BatchRecord, owner: &str) -> Result<Option<Batch>, QueueError> {
        let mut script = self.scripts.save.key(&self.root);
        let expires = if record.status.is_final() { record.forget_at() } else { 0 };
        script.arg(&record.id).arg(owner).arg(serde_json::to_string(record)?);
        script.arg(BATCH_LEASE.as_millis() as u64).arg(expires);
        batch(self.redis.script::<Answer>(&script).await?)
    }

    /// Gives the lease on a batch back, for another gateway to take at once.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn release(&self, id: &str, owner: &str) -> Result<(), QueueError> {
        let mut script = self.scripts.lease.key(&self.root);
        script.arg(id).arg(owner).arg(0);
        self.redis.script::<Answer>(&script).await?;
        Ok(())
    }

    /// Leaves an order at a batch. Returns false if the batch has ended.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn order(&self, id: &str, order: BatchOrder) -> Result<bool, QueueError> {
        let mut script = self.scripts.order.key(&self.root);
        let (mark, set) = match order {
            BatchOrder::Cancel => ("cancel", true),
            BatchOrder::Pause => ("paused", true),
            BatchOrder::Resume => ("paused", false),
        };
        script.arg(id).arg(mark).arg(u8::from(set));
        Ok(self.redis.script::<u64>(&script).await? == 1)
    }

    /// Leaves the order to speak a line of a batch again, with another seed.
    ///
    /// # Errors
    /// [`QueueError`]: the order may be there all the same.
    pub async fn order_redo(&self, batch: &BatchRecord, line: u64, seed: u64) -> Result<(), QueueError> {
        let mut script = self.scripts.order_redo.key(&self.root);
        script.arg(&batch.id).arg(batch.tenant.as_str()).arg(format!("{line} {seed}"));
        self.redis.script::<u64>(&script).await?;
        Ok(())
    }

    /// Returns the orders to speak lines of a batch again: line and seed, the oldest first.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if an order is unreadable.
    pub async fn redo_orders(&self, id: &str) -> Result<Vec<(u64, u64)>, QueueError> {
        let mut read = redis::cmd("LRANGE");
        read.arg(self.redo_key(id)).arg(0).arg(-1);
        let orders: Vec<String> = self.redis.command(&read).await?;
        let parse = |order: &String| {
            let (line, seed) = order.split_once(' ')?;
            Some((line.parse().ok()?, seed.parse().ok()?))
        };
        let read =
            orders.iter().map(|order| parse(order).ok_or_else(|| QueueError::Corrupt(format!("redo {order:?}"))));
        read.collect()
    }

    /// Removes an order that was carried out.
    ///
    /// # Errors
    /// [`QueueError`]: the order may be carried out again, with the same result.
    pub async fn end_redo(&self, id: &str, line: u64, seed: u64) -> Result<(), QueueError> {
        let mut remove = redis::cmd("LREM");
        remove.arg(self.redo_key(id)).arg(0).arg(format!("{line} {seed}"));
        Ok(self.redis.command(&remove).await?)
    }

    /// Creates the record of a file.
    ///
    /// # Errors
    /// [`QueueError`]: the record may exist all the same.
    pub async fn put_file(&self, file: &FileRecord) -> Result<(), QueueError> {
        let mut script = self.scripts.put_file.key(&self.root);
        script.arg(&file.id).arg(file.tenant.as_str()).arg(serde_json::to_string(file)?);
        script.arg(file.created_at).arg(file.expires_at);
        self.create_durably(&script).await?;
        Ok(())
    }

    /// Returns the record of a tenant's file.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if the record is unreadable.
    pub async fn file(&self, tenant: &Tenant, id: &str) -> Result<Option<FileRecord>, QueueError> {
        let mut read = redis::cmd("GET");
        read.arg(self.file_key(id));
        let text: Option<String> = self.redis.command(&read).await?;
        let file: Option<FileRecord> = text.map(|text| serde_json::from_str(&text)).transpose()?;
        Ok(file.filter(|file| file.tenant == *tenant))
    }

    /// Returns a page of a tenant's files, the newest first, behind the file `after`.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if a record is unreadable.
    pub async fn files(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<FileRecord>, QueueError> {
        let (ids, has_more) = self.page(&format!("{}files:{tenant}", self.root), after, limit).await?;
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            records.extend(self.file(tenant, &id).await?);
        }
        Ok(Page { records, has_more })
    }

    /// Removes the record of a tenant's file.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn forget_file(&self, tenant: &Tenant, id: &str) -> Result<(), QueueError> {
        let mut forget = redis::pipe();
        forget.cmd("DEL").arg(self.file_key(id)).ignore();
        forget.cmd("ZREM").arg(format!("{}files:{tenant}", self.root)).arg(id).ignore();
        Ok(self.redis.pipeline(&forget).await?)
    }

    /// Runs a script that creates a record, and returns once the record is on disk.
    async fn create_durably(&self, script: &ScriptInvocation<'_>) -> Result<u64, RedisFault> {
        match Box::pin(self.redis.script_fsynced(script, FSYNC_LIMIT)).await {
            // The server keeps nothing on disk, or tells nothing of it.
            Err(RedisFault::Unsupported(_)) => self.redis.script(script).await,
            other => other,
        }
    }

    /// Returns up to `limit` ids of a list, the newest first, and whether older ones follow.
    async fn page(&self, list: &str, after: Option<&str>, limit: usize) -> Result<(Vec<String>, bool), QueueError> {
        let mut first = 0;
        if let Some(after) = after {
            let mut rank = redis::cmd("ZREVRANK");
            rank.arg(list).arg(after);
            // Behind an id that is not in the list there is nothing.
            let Some(rank) = self.redis.command::<Option<usize>>(&rank).await? else { return Ok((Vec::new(), false)) };
            first = rank + 1;
        }
        let limit = limit.clamp(1, PAGE_MAX);
        let mut range = redis::cmd("ZREVRANGE");
        range.arg(list).arg(first).arg(first + limit);
        let mut ids: Vec<String> = self.redis.command(&range).await?;
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        Ok((ids, has_more))
    }

    fn batch_key(&self, id: &str) -> String {
        format!("{}batch:{id}", self.root)
    }

    fn redo_key(&self, id: &str) -> String {
        format!("{}redo:{id}", self.root)
    }

    fn file_key(&self, id: &str) -> String {
        format!("{}file:{id}", self.root)
    }
}

fn batch(answer: Answer) -> Result<Option<Batch>, QueueError> {
    let Some((record, cancel, paused)) = answer else { return Ok(None) };
    Ok(Some(Batch { record: serde_json::from_str(&record)?, cancel, paused }))
}
