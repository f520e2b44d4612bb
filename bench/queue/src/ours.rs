//! csm-fleet's queue by the peers' two rules (bench/peers/queue/README.md): producer and consumers
//! in one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use csm_queue::queue::{Claim, Queue, Ticket, WorkerCapacity, WorkerId};
use csm_report::percentile;
use csm_shared::job::{JobId, Lane};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::BenchQueueArgs;
use super::bench_workers::{queue, receipt, spec};

/// Most enqueues under way at a time.
const IN_FLIGHT: usize = 16;
/// Pause between two enqueues of the latency measurement.
const EVERY: Duration = Duration::from_millis(5);

/// Observations of the consumers.
#[derive(Default)]
struct Seen {
    /// Time at which each job's run began.
    begun: Mutex<HashMap<JobId, Instant>>,
    done: Mutex<u32>,
    more: Notify,
}

impl Seen {
    async fn wait_for(&self, jobs: u32) {
        loop {
            let more = self.more.notified();
            if *self.done.lock().unwrap_or_else(PoisonError::into_inner) >= jobs {
                return;
            }
            more.await;
        }
    }
}

/// Takes both measurements, in the peers' output format.
pub(crate) async fn run(redis_url: &str, args: &BenchQueueArgs) -> anyhow::Result<Value> {
    let queue = queue(redis_url)?;
    let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
    let consumers: Vec<_> =
        (0..args.consumers).map(|_| tokio::spawn(consume(queue.clone(), Arc::clone(&seen), stop.clone()))).collect();
    let spec = spec(Lane::Standard);

    let begun = Instant::now();
    let mut calls = futures::stream::iter(0..args.jobs)
        .map(|_| async { queue.enqueue(&Ticket::new(JobId::generate()), &spec).await })
        .buffer_unordered(IN_FLIGHT);
    while let Some(call) = calls.next().await {
        call?;
    }
    let enqueued = begun.elapsed();
    seen.wait_for(args.jobs).await;
    let all = begun.elapsed();

    let mut called = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..args.latency_jobs {
        ticks.tick().await;
        let (queue, spec, id) = (queue.clone(), spec.clone(), JobId::generate());
        called.insert(id, Instant::now());
        calls.spawn(async move { queue.enqueue(&Ticket::new(id), &spec).await });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    seen.wait_for(args.jobs + args.latency_jobs).await;
    stop.cancel();
    for consumer in consumers {
        consumer.await??;
    }
    let begun = seen.begun.lock().unwrap_or_else(PoisonError::into_inner);
    let wait =
        |(id, at): (&JobId, &Instant)| begun.get(id).map(|begun| begun.duration_since(*at).as_secs_f64() * 1_000.0);
    let mut waits: Vec<f64> = called.iter().filter_map(wait).collect();
    Ok(json!({
        "peer": "csm-fleet",
        "version": env!("CARGO_PKG_VERSION"),
        "jobs": args.jobs,
        "enqueue_seconds": enqueued.as_secs_f64(),
        "jobs_per_second": f64::from(args.jobs) / all.as_secs_f64(),
        "wait_p50_ms": percentile(&mut waits, 50.0),
        "wait_p99_ms": percentile(&mut waits, 99.0),
        "guarantee": "kept until a fenced commit; lease of 15 s; one result per job",
    }))
}

/// Runs one slot: claim, commit, again.
async fn consume(queue: Queue, seen: Arc<Seen>, stop: CancellationToken) -> anyhow::Result<()> {
    let worker_id = WorkerId::of_this_process("bench");
    let (mut wake, mut claimer) = (queue.wake_listener(), queue.claimer(&worker_id, "bench"));
    let done = receipt(1);
    while !stop.is_cancelled() {
        let Claim::Job(job) = claimer.claim(WorkerCapacity::empty(1)).await? else {
            claimer.begin_with(wake.wait(WorkerCapacity::empty(1)).await?);
            continue;
        };
        let id = job.lease.at().id;
        seen.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now());
        job.lease.succeed(&done).await?;
        *seen.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        seen.more.notify_waiters();
    }
    Ok(())
}
