//! `csm dev`: the whole fleet on this machine, until a signal ends it.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::TelemetryArgs;

use crate::local_fleet::{DEFAULT_LISTEN, FleetArgs, LocalFleet};
use crate::receipt_text::NOISE_ONLY;

#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// Address of the API
    #[arg(long, default_value_t = DEFAULT_LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    pub(crate) logs: TelemetryArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

pub(crate) async fn run(args: DevArgs) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let mut fleet = tokio::select! {
        fleet = LocalFleet::start(&args.fleet, args.listen) => fleet?,
        () = shutdown.begun() => return Ok(ExitCode::SUCCESS),
    };
    let ran = tokio::select! {
        ran = stay_up(&mut fleet) => ran,
        () = shutdown.begun() => Ok(()),
    };
    let stopped = fleet.stop().await;
    ran.and(stopped)?;
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Prints when the fleet is ready, then waits until a part fails.
async fn stay_up(fleet: &mut LocalFleet) -> Result<()> {
    println!("loading {}", fleet.model);
    fleet.ready().await?;
    print!("{}", banner(fleet));
    Err(fleet.failed().await)
}

fn banner(fleet: &LocalFleet) -> String {
    let url = fleet.url();
    let health: Vec<_> = fleet.admin_addresses.iter().map(|address| format!("http://{address}/readyz")).collect();
    let noise = if fleet.model.noise_only { format!("\n  !!       {NOISE_ONLY}") } else { String::new() };
    format!(
        "\ncsm-fleet is ready; Ctrl-C stops it\n  API      {url}\n  health   {}  (gateway first)\n  model    {}{noise}\n\n  \
         csm say \"Hello from CSM.\" -o hello.wav --url {url}\n  \
         curl -X POST {url}/generate -H 'Content-Type: application/json' -d '{{\"text\":\"Hello from CSM.\",\"speaker\":0}}'\n\n",
        health.join(" "),
        fleet.model
    )
}
