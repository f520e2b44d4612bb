//! BullMQ's own Rust crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bullmq::options::RedisConnectionOptions;
use bullmq::worker::WorkerEvent;
use bullmq::{Job, Queue, QueueOptions, Worker, WorkerOptions};

use crate::Result;
use crate::board::Board;
use crate::drive::{Payload, Peer};

pub struct Bullmq {
    queue: Queue,
    workers: Vec<Arc<Worker>>,
    completed: Arc<AtomicUsize>,
}

impl Bullmq {
    /// Connects, and starts one worker for each entry of `slots`.
    pub async fn start(url: &str, queue: &str, slots: &[usize], board: &Arc<Board>) -> Result<Self> {
        let connection = RedisConnectionOptions::new().url(url);
        let completed = Arc::new(AtomicUsize::new(0));
        let mut workers = Vec::new();
        for &slots in slots {
            let board = Arc::clone(board);
            let handler = move |job: Job, _cancel| {
                let board = Arc::clone(&board);
                async move {
                    board.begin(job.data()["n"].as_u64().unwrap_or(0) as usize);
                    board.end();
                    Ok(serde_json::Value::Null)
                }
            };
            let options = WorkerOptions::new().connection(connection.clone()).concurrency(slots);
            let worker = Arc::new(Worker::with_options(queue, handler, options).await?);
            tokio::spawn(count(Arc::clone(&worker), Arc::clone(&completed)));
            workers.push(worker);
        }
        let queue = Queue::with_options(queue, QueueOptions::new().connection(connection)).await?;
        Ok(Self { queue, workers, completed })
    }
}

/// Counts what the worker has moved to `completed`: its events come after Redis has answered.
async fn count(worker: Arc<Worker>, completed: Arc<AtomicUsize>) {
    while let Some(event) = worker.next_event().await {
        match event {
            WorkerEvent::Completed { .. } => {
                completed.fetch_add(1, Ordering::Relaxed);
            }
            WorkerEvent::Failed { error, .. } | WorkerEvent::Error(error) => eprintln!("bullmq-official: {error}"),
            WorkerEvent::Closed => return,
            _ => {}
        }
    }
}

impl Peer for Bullmq {
    const GUARANTEE: &'static str =
        "at least once: a 30 s lock per active job, renewed; stalled jobs return to the queue";
    const SHAPE: &'static str = "producer and consumers in one process; one worker object per 5 consumers";

    async fn push(&self, payload: Payload) -> Result<()> {
        self.queue.add("bench", payload).await?;
        Ok(())
    }

    async fn acknowledged(&self) -> Result<usize> {
        Ok(self.completed.load(Ordering::Relaxed))
    }

    async fn stop(&self) -> Result<()> {
        for worker in &self.workers {
            worker.close(0).await?;
        }
        self.queue.close().await;
        Ok(())
    }
}
