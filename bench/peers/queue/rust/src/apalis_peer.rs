//! apalis with its Redis storage.
//!
//! Version 1.0.0 files every pushed task under its due time, so a push wakes no worker: neither the
//! list's signal nor the pub/sub message is sent. Workers find such tasks only when they poll, so
//! they poll often here. Without a poll strategy, as in the crate's README, an idle worker looks
//! again only at its next heartbeat, 30 s later; the crate's own interval strategy falls silent the
//! same way once a fetch takes longer than the interval.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{BackendExt, PollSnapshot, PollStrategy, TaskSink, WorkerBuilder, WorkerBuilderExt};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::Result;
use crate::board::Board;
use crate::drive::{Payload, Peer};

/// Time between two looks of an idle worker.
const POLL: Duration = Duration::from_millis(1);
/// The one key that all apalis queues of a Redis share.
const QUEUES: &str = "core:apalis:queues:list";

/// Wakes a worker every `POLL`.
struct Ticks(Interval);

impl Ticks {
    fn new() -> Self {
        let mut interval = tokio::time::interval(POLL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(interval)
    }
}

impl PollStrategy for Ticks {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut due = Poll::Pending;
        // Until it is pending, or the worker would not be woken for the next tick.
        while self.0.poll_tick(cx).is_ready() {
            due = Poll::Ready(Some(()));
        }
        due
    }
}

pub struct Apalis {
    storage: RedisStorage<Payload>,
    connection: ConnectionManager,
    config: Config,
    workers: Vec<JoinHandle<()>>,
}

impl Apalis {
    /// Connects, and starts one worker for each entry of `slots`.
    pub async fn start(url: &str, queue: &str, slots: &[usize], board: &Arc<Board>) -> Result<Self> {
        let config = Config::default().queue(queue);
        let mut workers = Vec::new();
        for (index, &slots) in slots.iter().enumerate() {
            let storage = RedisStorage::new(apalis_redis::connect(url).await?).with_config(config.clone());
            let board = Arc::clone(board);
            let handler = move |payload: Payload| {
                let board = Arc::clone(&board);
                async move {
                    board.begin(payload.n);
                    board.end();
                }
            };
            let worker = WorkerBuilder::new(format!("{queue}-{index}"))
                .backend(storage.poll_with_strategy(Ticks::new()))
                .concurrency(slots)
                .build(handler);
            workers.push(tokio::spawn(async move {
                if let Err(error) = worker.run().await {
                    eprintln!("apalis-redis: a worker stopped: {error}");
                }
            }));
        }
        let connection = apalis_redis::connect(url).await?;
        let storage = RedisStorage::new(connection.clone()).with_config(config.clone());
        Ok(Self { storage, connection, config, workers })
    }
}

impl Peer for Apalis {
    const GUARANTEE: &'static str = "at least once: tasks held in the worker's inflight set until acknowledged; those of a \
                                     worker without heartbeat return to the queue";
    const SHAPE: &'static str = "producer and consumers in one process; one worker object per 5 consumers, \
                                 polling every 1 ms (nothing wakes an idle worker)";

    async fn push(&self, payload: Payload) -> Result<()> {
        self.storage.clone().push(payload).await?;
        Ok(())
    }

    async fn acknowledged(&self) -> Result<usize> {
        Ok(redis::cmd("SCARD").arg(self.config.done_jobs_set()).query_async(&mut self.connection.clone()).await?)
    }

    async fn stop(&self) -> Result<()> {
        for worker in &self.workers {
            worker.abort();
        }
        let mut forget = redis::cmd("ZREM");
        forget.arg(QUEUES).arg(self.config.workers_set()).exec_async(&mut self.connection.clone()).await?;
        Ok(())
    }
}
