//! `csm`: client of the HTTP API, model tools, and the whole fleet in one command.
//!
//! Results go to standard output; progress, logs and errors go to standard error. Exit status: 0
//! done, 1 failed, 2 wrong usage. `csm watermark detect` adds 3: a file in which no mark is found.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command's result goes to standard output")]

mod client;
mod commands;
mod local_fleet;
mod progress_display;
mod receipt_text;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let done = match csm_shared::process::telemetry::start_logs(&cli.command.logs()) {
        Ok(()) => Box::pin(cli.command.run()).await,
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
