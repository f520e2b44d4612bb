//! Comparison of the wait that a job is told at its acceptance with the wait that it then had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csm_queue::queue::{Enqueue, Queue, Ticket, WorkerId, WorkerReport};
use csm_report::percentile;
use csm_shared::job::{JobId, Lane};
use csm_shared::outln;
use tokio_util::sync::CancellationToken;

use super::bench_workers::{BenchServer, BenchWorker, spec};

/// Number of jobs that are enqueued at once.
const JOBS: usize = 3_000;
/// Time that a job takes.
const SERVICE: Duration = Duration::from_millis(50);
/// Number of workers, each with five slots.
const WORKERS: usize = 2;
/// Shortest wait that is compared. Shorter ones depend on scheduling more than on the prediction.
const SHORTEST: Duration = Duration::from_secs(1);

/// Prints predicted waits beside measured ones.
pub(crate) async fn run() -> anyhow::Result<()> {
    let server = BenchServer::start().await?;
    let queue = server.queue()?;
    let line = spec(Lane::Standard);
    let rate = 5.0 * f64::from(line.expected_frames()) / SERVICE.as_secs_f64();
    let (seen, stop) = (Arc::new(Mutex::new(HashMap::new())), CancellationToken::new());
    let mut workers = Vec::new();
    let worker_ids: Vec<_> = (0..WORKERS).map(|_| WorkerId::of_this_process("bench")).collect();
    for worker_id in &worker_ids {
        queue.report(worker_id, &report(rate)).await?;
    }
    for worker_id in worker_ids {
        let seen = Arc::clone(&seen);
        let worker = BenchWorker {
            queue: queue.clone(),
            worker_id,
            slots: 5,
            reserve: 1,
            service: SERVICE,
            claimed: Arc::new(move |job| {
                seen.lock().unwrap_or_else(PoisonError::into_inner).insert(job.lease.at().id, job.waited);
            }),
        };
        workers.push(tokio::spawn(worker.run(stop.clone())));
    }
    let mut predicted = HashMap::new();
    for _ in 0..JOBS {
        let id = JobId::generate();
        if let Enqueue::Accepted { wait: Some(wait) } = queue.enqueue(&Ticket::new(id), &line).await? {
            predicted.insert(id, wait);
        }
    }
    finished(&queue).await?;
    stop.cancel();
    for worker in workers {
        worker.await??;
    }
    print(&predicted, &seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

fn report(rate: f64) -> WorkerReport {
    WorkerReport {
        host: "bench".into(),
        model: "none".into(),
        build: "bench".into(),
        slots: 5,
        lane_slots: [5, 5, 4],
        running: 0,
        frames_per_second: rate,
        frames: 0,
        draining: false,
    }
}

async fn finished(queue: &Queue) -> anyhow::Result<()> {
    while queue.stats().await?.open > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn print(predicted: &HashMap<JobId, Duration>, seen: &HashMap<JobId, Duration>) {
    outln!(
        "\n### Predicted against seen waits ({JOBS} jobs at once, {WORKERS} workers of 5 slots; waits from 1 s on)\n"
    );
    outln!("| seen wait | jobs | predicted / seen p10 | p50 | p90 | within a factor of 2 |");
    outln!("|---|---:|---:|---:|---:|---:|");
    let longest = seen.values().max().copied().unwrap_or_default();
    let step = (longest / 4).max(SHORTEST);
    for part in 0..4 {
        let (from, to) = (SHORTEST.max(step * part), step * (part + 1));
        let inside = seen.iter().filter(|(_, wait)| (from..=to).contains(*wait));
        let ratio =
            |(id, wait): (&JobId, &Duration)| predicted.get(id).map(|told| told.as_secs_f64() / wait.as_secs_f64());
        let mut ratios: Vec<f64> = inside.filter_map(ratio).collect();
        if ratios.is_empty() {
            continue;
        }
        let right = ratios.iter().filter(|ratio| (0.5..=2.0).contains(*ratio)).count();
        outln!(
            "| {:.1} to {:.1} s | {} | {:.2} | {:.2} | {:.2} | {:.1} % |",
            from.as_secs_f64(),
            to.as_secs_f64(),
            ratios.len(),
            percentile(&mut ratios, 10.0),
            percentile(&mut ratios, 50.0),
            percentile(&mut ratios, 90.0),
            100.0 * right as f64 / ratios.len() as f64,
        );
    }
}
