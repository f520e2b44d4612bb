//! `csm dev`: the whole fleet on this machine, until a signal ends it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use csm_shared::process::secrets;
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::TelemetryArgs;
use csm_shared::{out, outln};

use crate::local_fleet::{DEFAULT_LISTEN, FleetArgs, LocalFleet};

/// Variables that say nothing about a fleet, or nothing that `csm dev` does otherwise.
const OF_OTHERS: [&str; 2] = ["CSM_URL", "CSM_DEVELOPMENT_WATERMARK"];

#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// Address of the API
    #[arg(long, env = "CSM_LISTEN", default_value_t = DEFAULT_LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    pub(crate) logs: TelemetryArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

pub(crate) async fn run(args: DevArgs) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals(args.fleet.stop_limit())?;
    secrets::warn_of_visible::<super::Cli>();
    let unused = unused(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
    if !unused.is_empty() {
        tracing::warn!(variables = unused.join(" "), "ignoring settings that `csm dev` does not have");
    }
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
    outln!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Returns the variables of the project that are set and have no effect on `csm dev`: its Redis and
/// its store are its own.
fn unused(set: impl Iterator<Item = String>) -> Vec<String> {
    let command = DevArgs::augment_args(clap::Command::new("dev"));
    let known: BTreeSet<_> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    let is_unused = |name: &String| {
        let setting = name.strip_suffix("_FILE").unwrap_or(name);
        name.starts_with("CSM_") && !known.contains(setting) && !OF_OTHERS.contains(&name.as_str())
    };
    let mut unused: Vec<_> = set.filter(is_unused).collect();
    unused.sort();
    unused
}

/// Prints when the fleet is ready, then waits until a part fails.
async fn stay_up(fleet: &mut LocalFleet) -> Result<()> {
    outln!("loading {}", fleet.model);
    fleet.ready().await?;
    out!("{}", banner(fleet));
    Err(fleet.failed().await)
}

fn banner(fleet: &LocalFleet) -> String {
    let url = fleet.url();
    let health: Vec<_> = fleet.admin_addresses.iter().map(|address| format!("http://{address}/readyz")).collect();
    let remark = fleet.model.remark.map_or_else(String::new, |remark| format!(" ({remark})"));
    format!(
        "\ncsm-fleet is ready; Ctrl-C stops it\n  API      {url}\n  health   {}  (gateway first)\n  model    {}{remark}\n\n  \
         csm say \"Hello from CSM.\" -o hello.wav --url {url}\n  \
         curl -X POST {url}/generate -H 'Content-Type: application/json' -d '{{\"text\":\"Hello from CSM.\",\"speaker\":0}}'\n\n",
        health.join(" "),
        fleet.model
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_without_effect_are_named() {
        let set =
            ["CSM_STORE", "PATH", "CSM_SLOTS", "CSM_LISTEN", "CSM_URL", "CSM_REDIS_URL", "CSM_WATERMARK_KEY_FILE"];
        assert_eq!(unused(set.into_iter().map(str::to_owned)), ["CSM_REDIS_URL", "CSM_STORE"]);
        let engine =
            ["CSM_MODEL", "CSM_DEVICE", "CSM_THREADS", "CSM_PREFIX_CACHE_MB", "CSM_DRAIN_SECONDS", "CSM_WEIGHTS"];
        let gateway = ["CSM_ALLOWED_HOSTS", "CSM_ALLOWED_ORIGINS", "CSM_ID_SECRET_FILE", "CSM_GATEWAY_MEMORY_MIB"];
        assert_eq!(unused(gateway.into_iter().map(str::to_owned)), [""; 0]);
        assert_eq!(unused(engine.into_iter().map(str::to_owned)), [""; 0]);
    }
}
