//! `csm-worker`: read settings, start, run until SIGTERM, drain.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use csm_shared::process::descriptors;
use csm_shared::process::error_chain::in_one_line;
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{self, TelemetryArgs};
use csm_worker::config::WorkerArgs;

/// Speech worker of csm-fleet
#[derive(Parser)]
#[command(version)]
struct WorkerCli {
    #[command(flatten)]
    worker: WorkerArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(WorkerCli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        // A wrong setting is no defect of the program, so there is no backtrace.
        Err(error) => {
            // Without standard error, the exit status alone tells.
            let _ = writeln!(std::io::stderr(), "error: {}", in_one_line(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: WorkerCli) -> anyhow::Result<()> {
    telemetry::start_logs(&cli.telemetry)?;
    descriptors::raise_limit();
    let shutdown = Shutdown::on_signals()?;
    let metrics = telemetry::start_metrics(shutdown.token().clone())?;
    let worker = csm_worker::serve(&cli.worker, metrics, shutdown.token().clone()).await?;
    tracing::info!(address = %worker.admin_address, "serving health and metrics");
    Ok(worker.join().await?)
}
