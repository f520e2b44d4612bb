//! Callers that arrive by a Poisson process, on an idle queue and beside a bulk backlog.

use std::net::SocketAddr;
use std::time::Duration;

use csm_queue::queue::Ticket;
use csm_report::Table;
use csm_shared::errln;
use csm_shared::job::{JobId, Lane};
use futures::StreamExt as _;
use rand::RngExt as _;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::BenchGatewayArgs;
use crate::bench_report::{BenchReport, ms};
use crate::copy_server::CopyStack;
use crate::core_plan::CorePlan;
use crate::frame_stamp::{FRAME, text_of_frames};
use crate::gateway_stack::{DataPlace, GatewayStack};
use crate::heard_delays::{first_byte_delays, first_byte_times};
use crate::paced_workers::FleetSize;
use crate::speech_client::HeardStream;
use crate::stream_load::Listeners;

/// Callers that speak on average, and the seconds for which they arrive.
const LOADS: [(u32, u64); 3] = [(1, 32), (5, 12), (16, 8)];
/// Frames of one caller.
const CALL_FRAMES: u32 = 10;
/// Frames of one bulk job.
const BULK_FRAMES: u32 = 31;
/// Enqueues under way at a time, while the backlog is filled.
const FILLS: usize = 64;
/// Paced workers. Half of the slots are kept from bulk jobs, which is more than the callers need.
const SIZE: FleetSize = FleetSize { workers: 8, slots: 8, reserve: 4, event_frames: 1 };

/// Prints the times from a request to the first byte.
pub(crate) async fn run(report: &mut BenchReport, args: &BenchGatewayArgs, cores: &CorePlan) -> anyhow::Result<()> {
    let bulk_slots = SIZE.workers * u32::from(SIZE.slots - SIZE.reserve);
    report.say(format!(
        "## First byte after the request, callers at random times\n\n\
         Callers arrive by a Poisson process and speak {:.1} s each. {} paced workers of {} slots serve them and the bulk \
         jobs, of which at most {bulk_slots} run at a time. A paced worker publishes the first frame at once, so the times are what \
         the fleet adds to a model's own.",
        FRAME.as_secs_f64() * f64::from(CALL_FRAMES),
        SIZE.workers,
        SIZE.slots
    ));
    let mut table = Table::new([
        "server",
        "speaking on average",
        "callers",
        "failed",
        "first byte p50 ms",
        "p95 ms",
        "max ms",
        "of it after publication p95 ms",
    ]);
    for (name, bulk) in
        [("gateway, idle queue".to_owned(), 0), (format!("gateway, {} bulk jobs", args.bulk), args.bulk)]
    {
        errln!("arrivals: {name}");
        let stack = GatewayStack::start(args.model.as_deref(), cores, DataPlace::Memory, SIZE).await?;
        fill(&stack, bulk).await?;
        rows(&mut table, &name, stack.address).await;
        stack.stop().await;
    }
    errln!("arrivals: copying server");
    rows(&mut table, "copies bytes", CopyStack::start(cores).await?.address).await;
    report.say(table);
    Ok(())
}

/// Adds a row for each of [`LOADS`].
async fn rows(table: &mut Table, server: &str, address: SocketAddr) {
    for (speaking, seconds) in LOADS {
        let (heard, failed) = arrive(address, speaking, Duration::from_secs(seconds)).await;
        let (times, delays) = (first_byte_times(&heard), first_byte_delays(&heard));
        let spoken = FRAME.as_secs_f64() * heard.iter().map(|heard| heard.frames.len()).sum::<usize>() as f64;
        table.row([
            server.to_owned(),
            format!("{speaking} ({:.1})", spoken / seconds as f64),
            heard.len().to_string(),
            failed.to_string(),
            ms(&times, 50.0),
            ms(&times, 95.0),
            ms(&times, 100.0),
            ms(&delays, 95.0),
        ]);
    }
}

/// Adds bulk jobs to the queue.
async fn fill(stack: &GatewayStack, jobs: u64) -> anyhow::Result<()> {
    let text = text_of_frames(BULK_FRAMES);
    let spec = csm_testing::job().text(&text).frames(BULK_FRAMES.into()).lane(Lane::Bulk).spec();
    let mut calls = futures::stream::iter(0..jobs)
        .map(|_| async { stack.queue.enqueue(&Ticket::new(JobId::generate()), &spec).await })
        .buffer_unordered(FILLS);
    while let Some(call) = calls.next().await {
        call?;
    }
    Ok(())
}

/// Has callers arrive for a time, and waits for the end of their streams. Returns the streams, and the
/// number of those that failed.
async fn arrive(address: SocketAddr, speaking: u32, time: Duration) -> (Vec<HeardStream>, usize) {
    let (mut callers, stop, begun) = (Listeners::default(), CancellationToken::new(), Instant::now());
    let mean_pause = FRAME * CALL_FRAMES / speaking;
    let mut due = begun;
    loop {
        // An exponential distribution has no memory: the arrivals are a Poisson process.
        due += mean_pause.mul_f64(-rand::rng().random_range(f64::MIN_POSITIVE..1.0).ln());
        if due > begun + time {
            break;
        }
        sleep_until(due).await;
        callers.start(address, CALL_FRAMES, &stop);
    }
    callers.join().await
}
