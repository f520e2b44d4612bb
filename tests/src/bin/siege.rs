//! `csm-siege`: attacks on a real gateway in a limit of memory, beside an honest caller. The exit
//! status is 0 if every attack passes and 1 otherwise.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use csm_shared::outln;
use csm_tests::siege::attack_table::ATTACKS;
use csm_tests::siege::{MEMORY_LIMIT_BYTES, SiegeOptions, run};

/// Attack a gateway in many ways, and check that it survives and serves honest callers
#[derive(Parser)]
#[command(name = "csm-siege")]
struct SiegeCli {
    /// Attacks to run, separated by commas; all without it
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Length of each attack
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Memory that the gateway may use, such as 512MiB
    #[arg(long, default_value_t = MEMORY_LIMIT_BYTES, value_name = "BYTES", value_parser = bytes)]
    memory: u64,
    /// Most attackers of one attack
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_name = "COUNT")]
    attackers_max: usize,
    /// Setting of the gateway, as NAME=VALUE; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Attack from the honest caller's own address, as callers behind a reverse proxy do
    #[arg(long)]
    one_address: bool,
    /// List the attacks and end
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = SiegeCli::parse();
    if cli.list {
        for attack in &ATTACKS {
            outln!("{:<24}{:>6} x {}", attack.name, attack.attackers, attack.what);
        }
        return ExitCode::SUCCESS;
    }
    let options = SiegeOptions {
        only: cli.only,
        duration: Duration::from_secs(cli.seconds),
        memory: cli.memory,
        attackers_max: cli.attackers_max,
        environment: cli.env,
        one_address: cli.one_address,
    };
    let outcome = tokio::select! {
        outcome = run(&options) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(report) => {
            outln!("\n{report}");
            ExitCode::from(u8::from(!report.passed()))
        }
        Err(error) => {
            outln!("FAIL: the siege broke off: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Parses a number of bytes with a unit.
fn bytes(text: &str) -> Result<u64, String> {
    let number = |text: &str, shift: u32| text.trim().parse::<u64>().ok()?.checked_shl(shift).filter(|&n| n > 0);
    let (text, shift) = [("GiB", 30), ("MiB", 20)]
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .unwrap_or((text, 0));
    number(text, shift).ok_or_else(|| "a number of bytes, MiB or GiB, such as 512MiB".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
