//! The commands, one file each.

mod demo;
mod dev;
mod jobs;
mod model;
mod say;
mod watermark;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use csm_shared::telemetry::{LogFormat, TelemetryArgs};

/// Text to watermarked speech with CSM: the whole fleet, its client and its tools
#[derive(Debug, Parser)]
#[command(name = "csm", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole fleet on this machine: Redis, store, gateway and workers
    Dev(Box<dev::DevArgs>),
    /// Start a fleet, speak a sentence through its HTTP API, stop it again
    Demo(Box<demo::DemoArgs>),
    /// Speak a text and write the WAV
    Say(say::SayArgs),
    /// Look at a job, or cancel it
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Make checkpoints of random weights; trace a checkpoint
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Look for the watermark
    #[command(subcommand)]
    Watermark(watermark::WatermarkCommand),
}

impl Command {
    /// Servers log as told; the other commands log what goes wrong, and what takes long.
    pub(crate) fn logs(&self) -> TelemetryArgs {
        match self {
            Self::Dev(args) => args.logs.clone(),
            Self::Demo(args) => args.logs.to_telemetry(),
            Self::Say(_) | Self::Jobs(_) | Self::Watermark(_) => quiet("warn"),
            Self::Model(_) => quiet("info"),
        }
    }

    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Dev(args) => dev::run(*args).await,
            Self::Demo(args) => demo::run(*args).await,
            Self::Say(args) => say::run(args).await,
            Self::Jobs(command) => jobs::run(command).await,
            Self::Model(command) => model::run(command),
            Self::Watermark(command) => watermark::run(&command),
        }
    }
}

/// Which gateway to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct UrlArgs {
    /// The gateway
    #[arg(long, env = "CSM_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: String,
}

fn quiet(log: &str) -> TelemetryArgs {
    TelemetryArgs { log: log.to_owned(), log_format: LogFormat::Text }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_do_not_collide() {
        Cli::command().debug_assert();
    }
}
