//! `csm queue`: prints the queue's numbers and carries out the operator's commands.

mod drain;
mod rates;
mod view;

#[cfg(test)]
pub(crate) use view::tests;
pub(crate) use view::{View, brief};

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use csm_gateway::TargetWaitArgs;
use csm_shared::job::Lane;
use csm_shared::{out, outln};

use super::RedisQueueArgs;

/// Longest wait of a command for an unreachable Redis.
pub(crate) const REDIS_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Print lanes, workers and predicted waits
    Stats {
        /// Print all numbers as JSON
        #[arg(long)]
        json: bool,
        /// Waits for which the slots are chosen that each lane wants; the gateways' settings.
        #[command(flatten)]
        target_wait: TargetWaitArgs,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Pause a lane: none of its jobs begin, except suspects. Running jobs go on, and new jobs are
    /// accepted
    Pause {
        /// live, standard or bulk
        lane: Lane,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Resume a paused lane
    Resume {
        /// live, standard or bulk
        lane: Lane,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Close the intake and show what is left until the queue is empty. Exit status 1 if
    /// interrupted before
    Drain {
        /// Open the intake again when this command ends, in whatever way
        #[arg(long)]
        reopen: bool,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Open the intake again
    Open {
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
}

pub(crate) async fn run(command: QueueCommand) -> anyhow::Result<ExitCode> {
    match command {
        QueueCommand::Stats { json, target_wait, queue } => {
            let stats = queue.open(REDIS_PATIENCE)?.stats().await?;
            if json {
                outln!("{}", serde_json::to_string_pretty(&stats)?);
            } else {
                out!("{}", View::of(&stats).with_targets(target_wait.into()));
            }
        }
        QueueCommand::Pause { lane, queue } => {
            queue.open(REDIS_PATIENCE)?.pause(lane, true).await?;
            outln!("lane {lane} is paused");
        }
        QueueCommand::Resume { lane, queue } => {
            queue.open(REDIS_PATIENCE)?.pause(lane, false).await?;
            outln!("lane {lane} goes on");
        }
        QueueCommand::Drain { reopen, queue } => return drain::run(&queue.open(REDIS_PATIENCE)?, reopen).await,
        QueueCommand::Open { queue } => {
            queue.open(REDIS_PATIENCE)?.close(false).await?;
            outln!("intake open");
        }
    }
    Ok(ExitCode::SUCCESS)
}
