//! `make bench-gateway`: the way of live audio from a worker through Redis and the gateway to the
//! client's socket.
//!
//! There is no model here. Workers of the bench publish paced frames ([`paced_workers`]): silence
//! that carries the time of its publication ([`frame_stamp`]). The gateway is a process with one core
//! of its own. Redis, paced workers and clients share the other cores.
//!
//! Sections:
//! - [`live_streams`]: delays beside fifty streams, and how many streams one core holds
//! - [`arrivals`]: callers at random times, on an idle queue and beside a bulk backlog
//!
//! [`copy_server`] takes the same loads as the gateway, and is a bound of what could be reached.

#![forbid(unsafe_code)]

mod chunked_body;
mod frame_stamp;
mod heard_delays;
mod speech_client;

mod copy_server;
mod core_plan;
mod gateway_stack;
mod paced_workers;
mod processor_time;

mod arrivals;
mod bench_report;
mod live_streams;
mod load_row;
mod stream_load;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};
use csm_shared::process::descriptors;

use bench_report::BenchReport;
use copy_server::CopyServerArgs;
use core_plan::CorePlan;

/// Sections to run, and their sizes.
#[derive(Parser, Clone, Debug)]
#[command(about = "The way of live audio through Redis and the gateway, with paced frames in place of a model")]
pub(crate) struct BenchGatewayArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Folder of the model whose tokenizer the gateway loads [default: a byte-level tokenizer, which
    /// costs a request next to nothing, as that of CSM-1B does]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Steps of live streams, up to the first with more than 2 % of frames late
    #[arg(long, value_delimiter = ',', default_value = "100,250,500,1000", value_name = "N")]
    pub(crate) streams: Vec<u32>,
    /// Seconds of each step
    #[arg(long, default_value_t = 6, value_name = "SECONDS")]
    pub(crate) seconds: u64,
    /// Bulk jobs that wait beside the callers
    #[arg(long, default_value_t = 50_000, value_name = "JOBS")]
    pub(crate) bulk: u64,
    /// Sections to run
    #[arg(long, value_delimiter = ',', default_value = "delays,capacity,arrivals")]
    pub(crate) sections: Vec<String>,
    /// Folder of the report; without it, none is written
    #[arg(long, value_name = "DIR")]
    pub(crate) docs: Option<PathBuf>,
}

#[derive(Subcommand, Clone, Debug)]
enum BenchCommand {
    /// Be the server that only copies bytes
    #[command(name = copy_server::COMMAND, hide = true)]
    CopyServer(CopyServerArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    descriptors::raise_limit();
    let args = BenchGatewayArgs::parse();
    if let Some(BenchCommand::CopyServer(args)) = args.command {
        return copy_server::serve(args).await;
    }
    // Read before this process leaves the server's core.
    let (begun, machine) = (Instant::now(), csm_report::machine());
    let (cores, mut report) = (CorePlan::begin().await?, BenchReport::default());
    head(&mut report, &machine, &cores);
    for section in &args.sections {
        match section.as_str() {
            "delays" => live_streams::delays(&mut report, &args, &cores).await?,
            "capacity" => live_streams::capacity(&mut report, &args, &cores).await?,
            "arrivals" => arrivals::run(&mut report, &args, &cores).await?,
            other => anyhow::bail!("no section is called {other:?}: delays, capacity, arrivals"),
        }
    }
    report.say(format!("All of this took {:.0} s.", begun.elapsed().as_secs_f64()));
    args.docs.map_or(Ok(()), |folder| report.write(&folder))
}

fn head(report: &mut BenchReport, (machine, load): &(String, String), cores: &CorePlan) {
    let command: Vec<_> = std::env::args().collect();
    let (others, count) = (cores.others.len(), if cores.others.len() == 1 { "core" } else { "cores" });
    report.say(format!("# The gateway's live audio, {}", csm_report::today()));
    report.say(format!(
        "- {machine}, load {load} at the start\n\
         - **No model**: workers of the bench publish paced frames, 1,920 samples of silence every 80 ms, the first at once. \
         Claims, events, heartbeats, files and commits are those of a worker.\n\
         - csm-gateway, a release build, is a process on one core; Redis, paced workers and clients share {others} other {count}\n\
         - Redis syncs its file before every answer, as that of `csm dev` does; rewrites of the file are off. Tables name the place \
         of the file: in memory a sync costs nothing, so the disk has no part in the delays\n\
         - no bound by peer is met: the gateway allows one address thousands of connections, so all clients come from 127.0.0.1"
    ));
    report.say(format!("```sh\n{}\n```", command.join(" ")));
}
