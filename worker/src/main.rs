//! `csm-worker`: read settings, start, run until SIGTERM, drain.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{self, TelemetryArgs};
use csm_shared::process::{descriptors, program, secrets};
use csm_worker::config::WorkerArgs;

/// Longest time from the end of the drain to the end of the process: jobs are handed back, the
/// detector and the engine end.
const END_MARGIN: Duration = Duration::from_secs(14);

/// Speech worker of csm-fleet
#[derive(Parser)]
#[command(version)]
struct WorkerCli {
    #[command(flatten)]
    worker: WorkerArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

fn main() -> ExitCode {
    let cli: WorkerCli = secrets::parse();
    program::run(serve(&cli))
}

async fn serve(cli: &WorkerCli) -> anyhow::Result<ExitCode> {
    telemetry::start_logs(&cli.telemetry)?;
    descriptors::raise_limit();
    secrets::warn_of_visible::<WorkerCli>();
    let shutdown = Shutdown::on_signals(cli.worker.drain + END_MARGIN).context("signal handlers")?;
    let metrics = telemetry::start_metrics(shutdown.token().clone())?;
    let worker = csm_worker::serve(&cli.worker, metrics, shutdown.token().clone()).await?;
    tracing::info!(address = %worker.admin_address, "serving health and metrics");
    worker.join().await?;
    Ok(ExitCode::SUCCESS)
}
