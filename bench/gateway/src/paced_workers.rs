//! Workers without a model: the paced engine. A job's frames are published on the beat of the clock,
//! the first at once.
//!
//! Claims, events, heartbeats, files and commits are a worker's own, through `csm-queue`. Samples are
//! silence with a stamp. Each worker has its own connections to Redis, as a process would.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use csm_queue::live::{AudioChunk, Event, EventId, Live};
use csm_queue::queue::{BEAT_EVERY, Claim, Claimed, LEASE, Queue, QueueArgs, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::audio::FRAME_SAMPLES;
use csm_shared::errln;
use csm_shared::job::{Delivery, JobId, Lane, Receipt};
use csm_shared::store::{ObjectKey, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::frame_stamp::{FRAME, FRAME_BYTES, frames_of_text, stamped_frames};

/// Longest time for retries of a command.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames between two progress events of a job without live audio, as a worker writes them.
const SILENT_EVENT_FRAMES: u32 = 5;

/// Size of a paced fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FleetSize {
    pub(crate) workers: u32,
    /// Slots of each worker.
    pub(crate) slots: u8,
    /// Part of the slots that bulk jobs may not take.
    pub(crate) reserve: u8,
    /// Frames of live audio in one event.
    pub(crate) event_frames: u32,
}

/// Times of publications, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct PaceLog {
    /// Delays of publications behind their time on the clock.
    pub(crate) late: Vec<f64>,
    /// Times from a publication to the answer of Redis.
    pub(crate) answered: Vec<f64>,
}

/// Running paced workers. Dropping them ends them where they are.
pub(crate) struct PacedFleet {
    log: Arc<Mutex<PaceLog>>,
    workers: JoinSet<()>,
}

impl PacedFleet {
    /// Starts workers of a fleet with this Redis and store.
    pub(crate) fn start(redis: &RedisArgs, store: &Store, size: FleetSize) -> anyhow::Result<Self> {
        let (log, mut workers) = (Arc::default(), JoinSet::new());
        for _ in 0..size.workers {
            let client = RedisClient::new(redis, PATIENCE)?;
            let worker = PacedWorker {
                queue: Queue::new(client.clone(), &QueueArgs::default()),
                live: Live::new(client).with_store(store.clone()),
                store: store.clone(),
                id: WorkerId::of_this_process("paced"),
                size,
                log: Arc::clone(&log),
            };
            workers.spawn(async move {
                if let Err(error) = Arc::new(worker).run().await {
                    errln!("a paced worker ended: {error:#}");
                }
            });
        }
        Ok(Self { log, workers })
    }

    /// Ends the workers and their jobs where they are.
    pub(crate) async fn stop(mut self) {
        self.workers.shutdown().await;
    }

    /// Takes the times of the publications since the last call.
    pub(crate) fn take_log(&self) -> PaceLog {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct PacedWorker {
    queue: Queue,
    live: Live,
    store: Store,
    id: WorkerId,
    size: FleetSize,
    log: Arc<Mutex<PaceLog>>,
}

impl PacedWorker {
    /// Claims and speaks until the task is dropped.
    async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        let slots = Arc::new(Semaphore::new(self.size.slots.into()));
        let (running, bulk, left) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
        let (mut wake, mut claimer) = (self.queue.wake_listener(), self.queue.claimer(&self.id, "paced"));
        let mut jobs = JoinSet::new();
        loop {
            while jobs.try_join_next().is_some() {}
            let slot = Arc::clone(&slots).acquire_owned().await.context("slots are never closed")?;
            let capacity = WorkerCapacity {
                running: running.load(Ordering::SeqCst),
                bulk: bulk.load(Ordering::SeqCst),
                reserve: self.size.reserve,
                ..WorkerCapacity::empty(self.size.slots)
            };
            let Claim::Job(job) = claimer.claim(capacity).await? else {
                tokio::select! {
                    woken = wake.wait(capacity) => claimer.begin_with(woken?),
                    () = left.notified() => {}
                }
                continue;
            };
            let is_bulk = u8::from(job.spec.lane == Lane::Bulk);
            running.fetch_add(1, Ordering::SeqCst);
            bulk.fetch_add(is_bulk, Ordering::SeqCst);
            let (running, bulk, left) = (Arc::clone(&running), Arc::clone(&bulk), Arc::clone(&left));
            let worker = Arc::clone(&self);
            jobs.spawn(async move {
                if let Err(error) = worker.speak(*job).await {
                    errln!("a paced job failed: {error:#}");
                }
                running.fetch_sub(1, Ordering::SeqCst);
                bulk.fetch_sub(is_bulk, Ordering::SeqCst);
                drop(slot);
                left.notify_one();
            });
        }
    }

    /// Publishes the frames of a job in real time, stores its file and commits it.
    async fn speak(&self, job: Claimed) -> anyhow::Result<()> {
        let (at, begun) = (job.lease.at().clone(), Instant::now());
        let (frames, is_live) = (frames_of_text(job.spec.text.as_str()), job.spec.delivery == Delivery::Both);
        let event_frames = if is_live { self.size.event_frames } else { SILENT_EVENT_FRAMES };
        let mut renewed = begun;
        self.publish(&at.id, at.attempt, 1, &Event::Started { worker: self.id.to_string() }).await?;
        for (event, first) in (0..frames).step_by(event_frames as usize).enumerate() {
            let due = begun + FRAME * first;
            sleep_until(due).await;
            let (late, count) = (due.elapsed(), event_frames.min(frames - first));
            let audio = if is_live { samples(first, count) } else { None };
            let progress = Event::Progress { frames: first + count, max_frames: frames, audio };
            let publication = Instant::now();
            self.publish(&at.id, at.attempt, 2 + event as u64, &progress).await?;
            if is_live {
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                log.late.push(late.as_secs_f64() * 1e3);
                log.answered.push(publication.elapsed().as_secs_f64() * 1e3);
            }
            if renewed.elapsed() > BEAT_EVERY {
                renewed = Instant::now();
                self.queue.beat(&at, LEASE).await?;
            }
        }
        sleep_until(begun + FRAME * frames).await;
        self.commit(job, frames).await
    }

    async fn publish(&self, job: &JobId, attempt: u64, sequence: u64, event: &Event) -> anyhow::Result<()> {
        Ok(self.live.publish(job, EventId { attempt, sequence }, event).await?)
    }

    /// Stores a file of silence, commits its receipt and announces the end.
    async fn commit(&self, job: Claimed, frames: u32) -> anyhow::Result<()> {
        let (at, format) = (job.lease.at().clone(), job.spec.format);
        let key = ObjectKey::audio(&at.id.to_string(), at.attempt, self.id.tag(), format.name())?;
        let file = vec![0; frames as usize * FRAME_BYTES];
        let receipt = Receipt {
            worker: self.id.to_string(),
            attempt: at.attempt,
            bytes: file.len() as u64,
            format,
            location: key.to_string(),
            ..csm_testing::receipt_of_frames(frames)
        };
        self.store.put(&key, Bytes::from(file), format.media_type()).await?;
        job.lease.succeed(&receipt).await?;
        Ok(self.live.conclude(&self.queue, &at.id).await?)
    }
}

/// Makes stamped samples of `count` frames behind the first `first`.
fn samples(first: u32, count: u32) -> Option<AudioChunk> {
    AudioChunk::new(u64::from(first) * FRAME_SAMPLES as u64, &stamped_frames(count))
}
