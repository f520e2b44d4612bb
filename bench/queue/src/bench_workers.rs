//! A Redis with a queue, jobs that do nothing, and workers that claim as real ones do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Claim, Claimed, Queue, QueueArgs, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::errln;
use csm_shared::job::{FinishReason, JobSpec, Lane, Receipt};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time for retries of a command.
const PATIENCE: Duration = Duration::from_secs(20);

/// Redis whose append-only file is synced before every answer.
pub(crate) struct BenchServer {
    pub(crate) redis: LocalRedis,
    _data: TempDir,
}

impl BenchServer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        // A backlog of a bench may be larger than that of `csm dev`.
        let settings = ["--maxmemory", "0"].map(str::to_owned).to_vec();
        let options = LocalRedisOptions { settings, ..LocalRedisOptions::default() };
        let redis = LocalRedis::spawn(data.path(), &options).await?;
        Ok(Self { redis, _data: data })
    }

    pub(crate) fn queue(&self) -> anyhow::Result<Queue> {
        queue(&self.redis.url())
    }
}

/// Opens a queue at a Redis, under a prefix of its own.
pub(crate) fn queue(redis_url: &str) -> anyhow::Result<Queue> {
    let key_prefix = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let client = RedisClient::new(&RedisArgs::new(redis_url, key_prefix), PATIENCE)?;
    Ok(Queue::new(client, &QueueArgs::default()))
}

/// Makes a request of about 300 bytes.
pub(crate) fn spec(lane: Lane) -> JobSpec {
    let text = "A sentence of some length. ".repeat(7);
    csm_testing::job().text(&text).frames(125).lane(lane).spec()
}

/// Makes a receipt without audio, as long as a real one.
pub(crate) fn receipt(frames: u32) -> Receipt {
    Receipt {
        weights_sha256: "0".repeat(64),
        finish_reason: FinishReason::Length,
        first_audio_ms: None,
        rtf: None,
        bytes: 0,
        sha256: "0".repeat(64),
        ..csm_testing::receipt_of_frames(frames)
    }
}

/// Worker without a model: a job takes it `service`. `claimed` is called with each claimed job.
pub(crate) struct BenchWorker {
    pub(crate) queue: Queue,
    pub(crate) worker_id: WorkerId,
    pub(crate) slots: u8,
    pub(crate) reserve: u8,
    pub(crate) service: Duration,
    pub(crate) claimed: Arc<dyn Fn(&Claimed) + Send + Sync>,
}

impl BenchWorker {
    /// Works until `stop` is cancelled, and finishes the jobs that run.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let slots = Arc::new(Semaphore::new(self.slots.into()));
        let (running, bulk, left) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
        let (mut wake, mut claimer) = (self.queue.wake_listener(), self.queue.claimer(&self.worker_id, "bench"));
        let jobs = TaskTracker::new();
        while let Some(slot) = stop.run_until_cancelled(Arc::clone(&slots).acquire_owned()).await {
            let slot = slot.context("slots are never closed")?;
            let room = WorkerCapacity {
                running: running.load(Ordering::SeqCst),
                bulk: bulk.load(Ordering::SeqCst),
                busy_for: self.service,
                reserve: self.reserve,
                ..WorkerCapacity::empty(self.slots)
            };
            let Claim::Job(job) = claimer.claim(room).await? else {
                tokio::select! {
                    () = stop.cancelled() => break,
                    woken = wake.wait(room) => claimer.begin_with(woken?),
                    () = left.notified() => {}
                }
                continue;
            };
            (self.claimed)(&job);
            let is_bulk = u8::from(job.spec.lane == Lane::Bulk);
            running.fetch_add(1, Ordering::SeqCst);
            bulk.fetch_add(is_bulk, Ordering::SeqCst);
            let (running, bulk, left, service) = (running.clone(), bulk.clone(), left.clone(), self.service);
            jobs.spawn(async move {
                if !service.is_zero() {
                    tokio::time::sleep(service).await;
                }
                let frames = job.spec.expected_frames();
                if let Err(error) = job.lease.succeed(&receipt(frames)).await {
                    errln!("a job was not committed: {error}");
                }
                running.fetch_sub(1, Ordering::SeqCst);
                bulk.fetch_sub(is_bulk, Ordering::SeqCst);
                drop(slot);
                left.notify_one();
            });
        }
        jobs.close();
        jobs.wait().await;
        Ok(())
    }
}
