//! `csm bench`: the engine's costs on this machine, beside its peers.
//!
//! Every number is measured in a process of its own, one process after another. So nothing
//! competes, and each measurement has its own peak of memory. For each one this program starts
//! itself anew ([`part`]), or Python for the peers of PyPI.

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

/// Most positions of a measured prompt; the model's window holds a few more.
const PROMPT_MAX: i64 = 1_024;
/// Largest number of threads that may be asked for.
const THREADS_MAX: i64 = 512;

/// Arguments of `csm bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Time the engine, its codec and its peers on one checkpoint; print tables
    Engine(Box<engine_bench::EngineArgs>),
    /// Compare the number formats of the weights with f32
    Quality(quality_bench::QualityArgs),
    /// Take one measurement in this process and print it as one line of JSON
    #[command(hide = true)]
    Part(part::PartArgs),
}

/// Model, device, threads and prompt of a measurement.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubjectArgs {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// CPU threads of csm-fleet and of the peers [default: one for each core]
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

    /// Returns the same settings as arguments of another process.
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

/// Returns the command line that started this process.
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
