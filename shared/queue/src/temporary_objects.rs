//! Objects of the store that are needed for a time only: archives of events, and recordings of
//! contexts.
//!
//! A sorted set in Redis holds their keys by the time at which they are removed. A key enters the
//! set before its object is written, so a crash leaves no object that nothing removes. Gateways
//! remove in rounds what is due.
//!
//! A key must not be written again once its time is over: a removal that is under way would remove
//! the new object.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use crate::redis_client::{RedisClient, RedisFault};
use csm_shared::store::{ObjectKey, Store, StoreError};

/// Objects that one call removes.
const BATCH_MAX: usize = 100;
/// Calls in one round. A process removes up to 10,000 objects a minute.
const BATCHES_MAX: usize = 100;
/// Mean pause between two rounds, jittered by half so that processes do not run in step.
const ROUND_PAUSE: Duration = Duration::from_mins(1);

/// Adds a key to the set. A write that needs no memory comes first, because a full Redis refuses a
/// script by its first write.
const REGISTER_WHEN_FULL: &str = "redis.call('ZREM', KEYS[1], '') redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])";

/// Handle on the temporary objects of a store. Cheap to clone.
#[derive(Clone)]
pub struct TemporaryObjects {
    redis: RedisClient,
    store: Store,
    /// Name of the sorted set.
    index: String,
    /// Script that adds a key to the set, also if Redis is full.
    register_when_full: Arc<redis::Script>,
}

/// Failure to write or remove a temporary object.
#[derive(Debug, thiserror::Error)]
pub enum TemporaryObjectError {
    /// The set in Redis could not be read or written.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TemporaryObjects {
    /// Creates a handle on the objects of a store, with their times in Redis.
    #[must_use]
    pub fn new(redis: RedisClient, store: Store) -> Self {
        let index = format!("{}:temporary", redis.prefix());
        let register_when_full = Arc::new(redis::Script::new(REGISTER_WHEN_FULL));
        Self { redis, store, index, register_when_full }
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Writes an object that is removed at `until`. Writing the same object again is harmless. A
    /// full Redis does not refuse, because the object may make room in it.
    ///
    /// # Errors
    /// [`TemporaryObjectError`]: the object may or may not exist, and is removed all the same.
    pub async fn put(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        content_type: &str,
        until: Timestamp,
    ) -> Result<(), TemporaryObjectError> {
        let mut register = self.register_when_full.key(&self.index);
        register.arg(until.as_millisecond()).arg(key.as_str());
        self.redis.script::<()>(&register).await?;
        Ok(self.store.put(key, bytes, content_type).await?)
    }

    /// Notes that an object, which may already be there, is removed at `until`. To be called before
    /// the object is written.
    ///
    /// # Errors
    /// [`RedisFault`]: a full Redis refuses.
    pub async fn register(&self, key: &ObjectKey, until: Timestamp) -> Result<(), RedisFault> {
        let mut add = redis::cmd("ZADD");
        add.arg(&self.index).arg(until.as_millisecond()).arg(key.as_str());
        self.redis.command(&add).await
    }

    /// Removes due objects in rounds until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = ROUND_PAUSE.mul_f64(rand::rng().random_range(0.5..1.5));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.remove_due(Timestamp::now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed temporary objects"),
                Err(error) => tracing::warn!(error = %error, "cannot remove temporary objects"),
            }
        }
    }

    /// Removes the objects that are due at `now`, and returns their number.
    ///
    /// # Errors
    /// The first failure. What was not removed is tried again by the next round of any process.
    pub async fn remove_due(&self, now: Timestamp) -> Result<usize, TemporaryObjectError> {
        let mut removed = 0;
        for _ in 0..BATCHES_MAX {
            let mut due = redis::cmd("ZRANGEBYSCORE");
            due.arg(&self.index).arg("-inf").arg(now.as_millisecond()).arg("LIMIT").arg(0).arg(BATCH_MAX);
            let keys: Vec<String> = self.redis.command(&due).await?;
            for key in &keys {
                match key.parse() {
                    Ok(key) => self.store.delete(&key).await?,
                    Err(error) => tracing::error!(error = %error, "temporary object cannot be removed"),
                }
            }
            if !keys.is_empty() {
                let mut forget = redis::cmd("ZREM");
                self.redis.command::<()>(forget.arg(&self.index).arg(&keys)).await?;
            }
            removed += keys.len();
            if keys.len() < BATCH_MAX {
                break;
            }
        }
        Ok(removed)
    }
}
