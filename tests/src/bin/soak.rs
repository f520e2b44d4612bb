//! `csm-soak`: a fleet of real processes under load and faults, and a verdict. The last line
//! printed is the verdict with its figures. The exit status is 0 for a pass and 1 otherwise.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use csm_shared::outln;
use csm_tests::soak::{Options, run};
use tokio::task::LocalSet;

/// Kill, pause and cut off a whole fleet under load, and check that no job suffers
#[derive(Parser)]
#[command(name = "csm-soak")]
struct SoakCli {
    /// Seconds in which jobs arrive and faults happen
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..))]
    duration: u64,
    /// Number of jobs that arrive in that time
    #[arg(long, default_value_t = 20_000, value_name = "COUNT")]
    jobs: usize,
    /// Seed of every choice
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Secure Redis: TLS alone, and the users of k8s/components/redis-secure
    #[arg(long)]
    secure: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let SoakCli { duration, jobs, seed, secure } = SoakCli::parse();
    let options = Options { duration: Duration::from_secs(duration), jobs, seed, secure };
    let all = LocalSet::new();
    let outcome = all.run_until(async {
        tokio::select! {
            outcome = run(options) => outcome,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match outcome.await {
        Ok(report) => {
            outln!("\n{report}\n{}", report.verdict(seed));
            ExitCode::from(u8::from(!report.passed()))
        }
        Err(error) => {
            outln!("FAIL: the run broke off, seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
