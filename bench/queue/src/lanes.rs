//! A live caller beside a bulk backlog: the wait must stay as on an empty queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use csm_queue::queue::{Queue, Ticket, WorkerId};
use csm_report::percentile;
use csm_shared::job::{JobId, Lane};
use csm_shared::outln;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::BenchQueueArgs;
use super::bench_workers::{BenchServer, BenchWorker, spec};

/// Number of live jobs, one every [`EVERY`]. On average they keep one slot busy, of the four that
/// are kept back.
const LIVE_JOBS: u32 = 400;
const EVERY: Duration = Duration::from_millis(100);
/// Time that a job takes.
const SERVICE: Duration = Duration::from_millis(100);
/// Number of workers. Each has five slots, one of them kept back from bulk.
const WORKERS: usize = 4;

/// Prints the live lane's wait on an empty queue, beside the backlog, and their ratio.
pub(crate) async fn run(args: &BenchQueueArgs) -> anyhow::Result<()> {
    outln!(
        "\n### Live wait beside {} bulk jobs ({WORKERS} workers of 5 slots, 1 kept back; a job takes 100 ms; 10 live jobs a second)\n",
        args.bulk
    );
    outln!("| queue | live wait p50 ms | p95 ms | p99 ms | p95 to the empty queue's |");
    outln!("|---|---:|---:|---:|---:|");
    let mut empty = None;
    for (name, bulk) in [("empty", 0), ("bulk backlog", args.bulk)] {
        let server = BenchServer::start().await?;
        let queue = server.queue()?;
        let mut waits = live_waits(&queue, bulk).await?;
        let p95 = percentile(&mut waits, 95.0);
        let base = *empty.get_or_insert(p95);
        let (p50, p99) = (percentile(&mut waits, 50.0), percentile(&mut waits, 99.0));
        outln!("| {name} | {p50:.2} | {p95:.2} | {p99:.2} | {:.2} |", p95 / base);
    }
    Ok(())
}

async fn live_waits(queue: &Queue, bulk: u64) -> anyhow::Result<Vec<f64>> {
    let line = spec(Lane::Bulk);
    let mut fill = futures::stream::iter(0..bulk)
        .map(|_| async { queue.enqueue(&Ticket::new(JobId::generate()), &line).await })
        .buffer_unordered(64);
    while let Some(call) = fill.next().await {
        call?;
    }
    let (waits, stop) = (Arc::new(Mutex::new(HashMap::new())), CancellationToken::new());
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let seen = Arc::clone(&waits);
            let worker = BenchWorker {
                queue: queue.clone(),
                worker_id: WorkerId::of_this_process("bench"),
                slots: 5,
                reserve: 1,
                service: SERVICE,
                claimed: Arc::new(move |job| {
                    if job.spec.lane == Lane::Live {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(job.lease.at().id, Instant::now());
                    }
                }),
            };
            tokio::spawn(worker.run(stop.clone()))
        })
        .collect();
    let live = spec(Lane::Live);
    let (mut ticks, mut called) = (tokio::time::interval(EVERY), HashMap::new());
    for _ in 0..LIVE_JOBS {
        ticks.tick().await;
        let id = JobId::generate();
        called.insert(id, Instant::now());
        queue.enqueue(&Ticket::new(id), &live).await?;
    }
    while waits.lock().unwrap_or_else(PoisonError::into_inner).len() < LIVE_JOBS as usize {
        ticks.tick().await;
    }
    stop.cancel();
    for worker in workers {
        worker.await??;
    }
    let claimed = waits.lock().unwrap_or_else(PoisonError::into_inner);
    let wait =
        |(id, at): (&JobId, &Instant)| claimed.get(id).map(|then| then.duration_since(*at).as_secs_f64() * 1_000.0);
    Ok(called.iter().filter_map(wait).collect())
}
