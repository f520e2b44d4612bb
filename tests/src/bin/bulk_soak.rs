//! `csm-bulk-soak`: one batch of many lines on a fleet under kills, and a count of every line. The last
//! line printed is the verdict. The exit status is 0 for a pass and 1 otherwise.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use csm_shared::outln;
use csm_tests::bulk_soak::{BulkEngine, BulkOptions, NoopArgs, run, work};

/// Run one batch on a fleet whose processes are killed, and check every line
#[derive(Parser)]
#[command(name = "csm-bulk-soak")]
struct BulkSoakCli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Be a worker without a model
    Worker(NoopArgs),
}

#[derive(clap::Args)]
struct RunArgs {
    /// Lines of the batch
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    lines: usize,
    /// Workers of the run
    #[arg(long, value_enum, default_value = "noop")]
    engine: BulkEngine,
    /// Model of gateways and workers [default: noise for noop, cli/tiny/model for tiny]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Number of workers
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    workers: usize,
    /// Slots of each worker
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    slots: u8,
    /// Time of a job of a worker without a model, in milliseconds
    #[arg(long, default_value_t = 100, value_name = "MS")]
    job_ms: u64,
    /// Mean time between two kills, in seconds; 0 for none
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    kill_every: u64,
    /// Look for the mark in every n-th file
    #[arg(long, default_value_t = 100, value_name = "N")]
    stride: usize,
    /// Seed of every choice
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Secure Redis: TLS alone, and the users of k8s/components/redis-secure
    #[arg(long)]
    secure: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let BulkSoakCli { command, run: args } = BulkSoakCli::parse();
    if let Some(Command::Worker(args)) = command {
        return match Box::pin(work(args)).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                outln!("the worker ended: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let RunArgs { lines, engine, model, workers, slots, job_ms, kill_every, stride, seed, secure } = args;
    let kill_every = (kill_every > 0).then(|| Duration::from_secs(kill_every));
    let options = BulkOptions { lines, engine, model, workers, slots, job_ms, kill_every, stride, seed, secure };
    match Box::pin(run(options)).await {
        Ok(report) => {
            outln!("{}: {lines} lines, seed {seed}", if report.passed() { "PASS" } else { "FAIL" });
            ExitCode::from(u8::from(!report.passed()))
        }
        Err(error) => {
            outln!("FAIL: the run broke off, seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
