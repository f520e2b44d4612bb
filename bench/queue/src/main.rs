//! `make bench-queue`: the queue beside its peers, and the cost of its promises. Jobs do nothing
//! here: one run measures queue and Redis on one machine. Only the ratios hold on another machine.
//!
//! Sections:
//! - [`peers`]: jobs a second and wait beside the peers, with and without a round trip of 1 ms
//! - [`growth`]: claims on a long backlog
//! - [`lanes`]: a live caller beside a bulk backlog
//! - [`admission`]: predicted waits beside measured ones

#![forbid(unsafe_code)]

mod admission;
mod bench_workers;
mod growth;
mod lanes;
mod ours;
mod peers;

use std::path::PathBuf;

use clap::Parser;

/// Sections to run, and their sizes.
#[derive(Parser, Clone, Debug)]
#[command(about = "The queue beside its peers, and what its promises cost")]
pub(crate) struct BenchQueueArgs {
    /// Jobs of the throughput measurement
    #[arg(long, default_value_t = 5_000)]
    pub(crate) jobs: u32,
    /// Consumers
    #[arg(long, default_value_t = 5)]
    pub(crate) consumers: u32,
    /// Jobs of the latency measurement, one every 5 ms
    #[arg(long, default_value_t = 1_000)]
    pub(crate) latency_jobs: u32,
    /// Longest backlog on which claims are measured
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) backlog: u64,
    /// Bulk jobs that wait beside the live ones
    #[arg(long, default_value_t = 50_000)]
    pub(crate) bulk: u64,
    /// Program that runs one peer; its first lines explain it
    #[arg(long, default_value = "bench/peers/queue/run.sh")]
    pub(crate) runner: PathBuf,
    /// Sections to run
    #[arg(long, value_delimiter = ',', default_value = "peers,growth,lanes,admission")]
    pub(crate) sections: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = BenchQueueArgs::parse();
    for section in &args.sections {
        match section.as_str() {
            "peers" => peers::run(&args).await?,
            "growth" => growth::run(&args).await?,
            "lanes" => lanes::run(&args).await?,
            "admission" => admission::run().await?,
            other => anyhow::bail!("no section is called {other:?}: peers, growth, lanes, admission"),
        }
    }
    Ok(())
}
