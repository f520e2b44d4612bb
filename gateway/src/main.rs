//! The gateway process: settings, logs, metrics, serve, drain.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use csm_gateway::{GatewayArgs, GatewayError};
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{self, TelemetryArgs};
use csm_shared::process::{descriptors, program, secrets};

/// Longest time from the end of the drain to the end of the process: answers leave, tasks end.
const END_MARGIN: Duration = Duration::from_secs(8);

/// Allocator that gives memory back to the system soon after a large request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HTTP and WebSocket front of csm-fleet
#[derive(Parser)]
#[command(version)]
struct GatewayCli {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

fn main() -> ExitCode {
    let cli: GatewayCli = secrets::parse();
    program::run(serve(&cli))
}

/// Serves until a signal.
async fn serve(cli: &GatewayCli) -> anyhow::Result<ExitCode> {
    telemetry::start_logs(&cli.telemetry)?;
    descriptors::raise_limit();
    secrets::warn_of_visible::<GatewayCli>();
    let shutdown = Shutdown::on_signals(cli.gateway.grace() + END_MARGIN).context("signal handlers")?;
    let metrics = telemetry::start_metrics(shutdown.token().clone())?;
    match csm_gateway::serve(&cli.gateway, metrics, shutdown.token().clone()).await {
        Ok(gateway) => gateway.join().await?,
        Err(GatewayError::Stopped) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
