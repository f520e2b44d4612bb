//! `csm bench`: what the engine costs on this machine, beside its peers.
//!
//! Every number is measured in a process of its own, one after another, so that nothing competes and each has its own peak
//! of memory: this program starts itself anew for each ([`part`]), and Python for the peers of PyPI.

mod child;
mod engine_bench;
mod engine_tables;
mod machine;
mod measurements;
mod part;
mod quality_bench;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::measure::Subject;
use clap::{Args, Subcommand};
use csm_engine::engine::DeviceChoice;

/// Most positions of a prompt that is measured; the model's window holds a few more.
const PROMPT_MAX: i64 = 1_024;
/// Most threads that may be asked for.
const THREADS_MAX: i64 = 512;

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Time the engine, its codec and its peers on one checkpoint; print tables
    Engine(Box<engine_bench::EngineArgs>),
    /// Hold the number formats of the weights against f32
    Quality(quality_bench::QualityArgs),
    /// One measurement in this process, as one line of JSON
    #[command(hide = true)]
    Part(part::PartArgs),
}

/// What is measured, and on what.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubjectArgs {
    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// CPU threads, ours and the peers' [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    pub(crate) threads: Option<u16>,
    /// Text positions before the first frame
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PROMPT_MAX))]
    pub(crate) prompt: u16,
}

impl SubjectArgs {
    pub(crate) fn threads(&self) -> usize {
        self.threads.map_or_else(csm_report::cores, usize::from)
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            folder: self.model.clone(),
            device: self.device,
            threads: Some(self.threads()),
            prompt: usize::from(self.prompt),
        }
    }

    /// The same on another process' command line.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        [
            ("--model", self.model.display().to_string()),
            ("--device", self.device.to_string()),
            ("--threads", self.threads().to_string()),
            ("--prompt", self.prompt.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

/// How this process was started.
fn command_line() -> String {
    std::env::args().collect::<Vec<_>>().join(" ")
}

/// Runs one benchmark and prints its tables.
///
/// # Errors
/// The model or a peer cannot be run, or a file cannot be written.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        BenchCommand::Engine(args) => engine_bench::run(*args).await,
        BenchCommand::Quality(args) => quality_bench::run(&args),
        BenchCommand::Part(args) => part::run(args).await,
    }
}
