//! Claims on a long backlog: the memory of a waiting job, and the time of a claim, which must not
//! grow.

use std::time::Instant;

use csm_queue::queue::{Claim, Queue, Ticket, WorkerCapacity, WorkerId};
use csm_report::percentile;
use csm_shared::job::{JobId, Lane};
use csm_shared::outln;
use futures::StreamExt as _;

use super::BenchQueueArgs;
use super::bench_workers::{BenchServer, receipt, spec};

/// Most enqueues under way at a time.
const IN_FLIGHT: usize = 64;
/// Number of claims measured at each length.
const CLAIMS: usize = 1_000;

/// Prints one row for each length, from 1,000 to the longest by powers of ten.
pub(crate) async fn run(args: &BenchQueueArgs) -> anyhow::Result<()> {
    let server = BenchServer::start().await?;
    let queue = server.queue()?;
    // The fill is not measured, and memory does not depend on the file.
    let mut off = redis::cmd("CONFIG");
    queue.redis().command::<()>(off.arg("SET").arg("appendonly").arg("no")).await?;
    outln!("\n### Claims on a long backlog (bulk lane, one claimer, append-only file off)\n");
    outln!("| jobs waiting | Redis bytes per job | claim p50 ms | p99 ms | p50 to that at 1,000 |");
    outln!("|---:|---:|---:|---:|---:|");
    let empty = memory(&queue).await?;
    let (mut waiting, mut first, mut length) = (0, None, 1_000);
    while length <= args.backlog {
        fill(&queue, length - waiting).await?;
        let per_job = memory(&queue).await?.saturating_sub(empty) / length;
        let mut claims = claims(&queue).await?;
        waiting = length - CLAIMS as u64;
        let p50 = percentile(&mut claims, 50.0);
        let base = *first.get_or_insert(p50);
        outln!("| {length} | {per_job} | {p50:.3} | {:.3} | {:.2} |", percentile(&mut claims, 99.0), p50 / base);
        length *= 10;
    }
    Ok(())
}

async fn fill(queue: &Queue, jobs: u64) -> anyhow::Result<()> {
    let spec = spec(Lane::Bulk);
    let mut calls = futures::stream::iter(0..jobs)
        .map(|_| async { queue.enqueue(&Ticket::new(JobId::generate()), &spec).await })
        .buffer_unordered(IN_FLIGHT);
    while let Some(call) = calls.next().await {
        call?;
    }
    Ok(())
}

/// Returns milliseconds of each claim; the jobs are committed in between.
async fn claims(queue: &Queue) -> anyhow::Result<Vec<f64>> {
    let mut claimer = queue.claimer(&WorkerId::of_this_process("bench"), "bench");
    let mut took = Vec::new();
    while took.len() < CLAIMS {
        let begun = Instant::now();
        let claim = claimer.claim(WorkerCapacity::empty(1)).await?;
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
        let Claim::Job(job) = claim else { anyhow::bail!("the backlog ended early") };
        job.lease.succeed(&receipt(1)).await?;
    }
    Ok(took)
}

async fn memory(queue: &Queue) -> anyhow::Result<u64> {
    let mut info = redis::cmd("INFO");
    let text: String = queue.redis().command(info.arg("memory")).await?;
    let used = text.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    used.ok_or_else(|| anyhow::anyhow!("INFO memory says no used_memory"))
}
