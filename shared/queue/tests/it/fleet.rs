//! A real Redis with a queue on it, and the means to make time pass for the queue's scripts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use csm_queue::live::{Live, Subscriptions};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Claim, Claimed, Queue, QueueArgs, RedisKeys, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{JobId, JobSpec, Lane};
use csm_shared::store::{FolderStore, Store};
use csm_testing::job;
use redis::FromRedisValue;
use tempfile::TempDir;

/// Patience longer than a restart of Redis takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestFleet {
    pub(crate) redis: LocalRedis,
    pub(crate) client: RedisClient,
    pub(crate) queue: Queue,
    pub(crate) live: Live,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) store: Store,
    _data: TempDir,
}

impl TestFleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(&QueueArgs::default()).await
    }

    pub(crate) async fn start_with(options: &QueueArgs) -> Self {
        let data = TempDir::new().unwrap();
        let redis = LocalRedis::spawn(data.path(), &LocalRedisOptions::default()).await.unwrap();
        let args = RedisArgs::new(redis.url(), "test");
        let client = RedisClient::new(&args, PATIENCE).unwrap();
        let store = Store::Folder(FolderStore::open(data.path().join("store")).unwrap());
        let live = Live::new(client.clone()).with_store(store.clone());
        let subscriptions = Subscriptions::start(client.clone()).with_store(store.clone());
        Self { redis, queue: Queue::new(client.clone(), options), live, subscriptions, store, client, _data: data }
    }

    /// Returns the same queue for a caller that gives up at once.
    pub(crate) fn impatient_queue(&self) -> Queue {
        let args = RedisArgs::new(self.redis.url(), "test");
        Queue::new(RedisClient::new(&args, Duration::ZERO).unwrap(), &QueueArgs::default())
    }

    /// Sends Redis a command, as an intruding client would.
    pub(crate) async fn redis_cli(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        self.client.command::<redis::Value>(command.arg(&words[1..])).await.unwrap();
    }

    /// Asks Redis.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        self.client.command(command.arg(&words[1..])).await.unwrap()
    }

    /// Returns a figure of `INFO`, such as `total_commands_processed`.
    pub(crate) async fn info(&self, section: &str, name: &str) -> Option<String> {
        let info: String = self.ask(&["INFO", section]).await;
        info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
    }

    /// Sets `maxmemory` of Redis; `0` is no limit.
    pub(crate) async fn limit_memory(&self, limit: &str) {
        let mut config = redis::cmd("CONFIG");
        self.client.command::<()>(config.arg("SET").arg("maxmemory").arg(limit)).await.unwrap();
    }

    /// Moves the end of every lease into the past, as if Redis had been reachable all the time.
    pub(crate) async fn expire_leases(&self) {
        self.redis_cli(&["HDEL", &RedisKeys::new("test", 0).counters(), "reaped_ms"]).await;
        self.set_all_scores(&RedisKeys::new("test", 0).leases()).await;
    }

    /// Makes it seem that Redis was unreachable for a minute, during which every lease ran out.
    pub(crate) async fn be_away_for_a_minute(&self) {
        self.expire_leases().await;
        let before = jiff::Timestamp::now().as_millisecond() - 60_000;
        self.redis_cli(&["HSET", &RedisKeys::new("test", 0).counters(), "reaped_ms", &before.to_string()]).await;
    }

    /// Moves the end of a job's time in the queue and the caller's deadline into the past. A time
    /// that Redis no longer holds stays absent, as if it had passed by itself.
    pub(crate) async fn pass_deadline(&self, id: &JobId) {
        let keys = RedisKeys::new("test", 0);
        for field in ["deadline_ms", "expires_ms"] {
            let mut known = redis::cmd("HEXISTS");
            if self.client.command(known.arg(keys.job(id)).arg(field)).await.unwrap() {
                self.redis_cli(&["HSET", &keys.job(id), field, "1"]).await;
            }
        }
        self.redis_cli(&["ZADD", &keys.deadlines(), "XX", "1", &id.to_string()]).await;
    }

    /// Makes every delayed retry due.
    pub(crate) async fn make_retries_due(&self) {
        self.set_all_scores(&RedisKeys::new("test", 0).delayed()).await;
    }

    async fn set_all_scores(&self, key: &str) {
        let mut range = redis::cmd("ZRANGE");
        let members: Vec<String> = self.client.command(range.arg(key).arg(0).arg(-1)).await.unwrap();
        for member in members {
            let mut add = redis::cmd("ZADD");
            self.client.command::<()>(add.arg(key).arg(1).arg(member)).await.unwrap();
        }
    }
}

/// Claims the next job for a worker that runs nothing; returns `None` if there is none.
pub(crate) async fn try_claim(queue: &Queue, owner: &WorkerId) -> Option<Claimed> {
    match queue.claimer(owner, "a test").claim(WorkerCapacity::empty(5)).await.unwrap() {
        Claim::Job(job) => Some(*job),
        Claim::Expired(_) | Claim::Nothing | Claim::Hold => None,
    }
}

/// Claims the next job for a worker that runs nothing; panics if there is none.
pub(crate) async fn claim(queue: &Queue, owner: &WorkerId) -> Claimed {
    try_claim(queue, owner).await.expect("a job waits")
}

pub(crate) fn spec(lane: Lane) -> JobSpec {
    job().lane(lane).spec()
}
