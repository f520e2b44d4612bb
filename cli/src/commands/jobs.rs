//! `csm jobs`: prints one job's record, or asks for its end.

use std::process::ExitCode;

use clap::Subcommand;
use csm_shared::job::limits::WAIT_SECONDS;
use csm_shared::outln;

use super::UrlArgs;
use crate::client::GatewayClient;

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Print a job's record as JSON
    Get {
        /// Id of the job
        id: String,
        /// Seconds to wait first for the job's end
        #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=WAIT_SECONDS.max))]
        wait: u64,
        #[command(flatten)]
        url: UrlArgs,
    },
    /// Ask for a job to be stopped
    Cancel {
        /// Id of the job
        id: String,
        #[command(flatten)]
        url: UrlArgs,
    },
}

pub(crate) async fn run(command: JobsCommand) -> anyhow::Result<ExitCode> {
    match command {
        JobsCommand::Get { id, wait, url } => {
            let job = GatewayClient::new(&url.url)?.job_json(&id, wait).await?;
            outln!("{job:#}");
        }
        JobsCommand::Cancel { id, url } => {
            let cancelled = GatewayClient::new(&url.url)?.cancel(&id).await?;
            outln!("{} {}", cancelled.id, cancelled.status);
        }
    }
    Ok(ExitCode::SUCCESS)
}
