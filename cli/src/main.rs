//! `csm`: client of the HTTP API, model tools, and the whole fleet in one command.
//!
//! Results go to standard output; progress, logs and errors go to standard error. Exit status: 0
//! done, 1 failed, 2 wrong usage, 124 too slow to end after a signal, 130 ended by a second signal.
//! `csm watermark detect` adds 3: a file in which no mark is found. `csm bulk run` adds 3: some lines
//! failed; 4: the input is refused; 5: the batch was cancelled or expired.

#![forbid(unsafe_code)]

mod client;
mod commands;
mod local_fleet;
mod model_remark;
mod progress_display;
mod receipt_text;
mod speech_args;

use std::process::ExitCode;

use csm_shared::process::{program, secrets, telemetry};

fn main() -> ExitCode {
    let cli: commands::Cli = secrets::parse();
    program::run(async {
        telemetry::start_logs(&cli.command.logs())?;
        Box::pin(cli.command.run()).await
    })
}
