//! The gateway process: settings, logs, metrics, serve, drain.

#![forbid(unsafe_code)]

use anyhow::Context as _;
use clap::Parser;
use csm_gateway::{GatewayArgs, GatewayError};
use csm_shared::process::descriptors;
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{self, TelemetryArgs};

/// HTTP and WebSocket front of csm-fleet
#[derive(Parser)]
#[command(version)]
struct GatewayCli {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = GatewayCli::parse();
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
