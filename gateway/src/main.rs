//! The gateway process: settings, logs, metrics, serve, drain.

#![forbid(unsafe_code)]

use anyhow::Context as _;
use clap::Parser;
use csm_gateway::{GatewayArgs, GatewayError};
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{self, TelemetryArgs};
use csm_shared::process::{descriptors, runtime};

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

fn main() -> anyhow::Result<()> {
    runtime::run(serve(GatewayCli::parse()))?
}

/// Serves until a signal.
async fn serve(cli: GatewayCli) -> anyhow::Result<()> {
    telemetry::start_logs(&cli.telemetry)?;
    descriptors::raise_limit();
    let shutdown = Shutdown::on_signals().context("signal handlers")?;
    let metrics = telemetry::start_metrics(shutdown.token().clone())?;
    match csm_gateway::serve(&cli.gateway, metrics, shutdown.token().clone()).await {
        Ok(gateway) => Ok(gateway.join().await?),
        Err(GatewayError::Stopped) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
