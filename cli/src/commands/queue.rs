//! `csm queue`: the queue's numbers, and an operator's orders to it.

mod drain;
mod rates;
mod view;

#[cfg(test)]
pub(crate) use view::tests;
pub(crate) use view::{View, brief};

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use csm_shared::job::Lane;

use super::RedisQueueArgs;

/// How long a command waits for a Redis that is away.
pub(crate) const REDIS_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Print lanes, workers and predicted waits
    Stats {
        /// All numbers, as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Hold a lane back: nothing of it is begun but suspects; what runs goes on, and new jobs are taken in
    Pause {
        /// live, standard or bulk
        lane: Lane,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Let a lane go on
    Resume {
        /// live, standard or bulk
        lane: Lane,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Take no new jobs in, and show what is left until nothing is. Exit status 1 if interrupted before
    Drain {
        /// Take new jobs in again when this command ends, however it does
        #[arg(long)]
        reopen: bool,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Take new jobs in again
    Open {
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
}

pub(crate) async fn run(command: QueueCommand) -> anyhow::Result<ExitCode> {
    match command {
        QueueCommand::Stats { json, queue } => {
            let stats = queue.open(REDIS_PATIENCE)?.stats().await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&stats)?);
            } else {
                print!("{}", View::of(&stats));
            }
        }
        QueueCommand::Pause { lane, queue } => {
            queue.open(REDIS_PATIENCE)?.pause(lane, true).await?;
            println!("lane {lane} is paused");
        }
        QueueCommand::Resume { lane, queue } => {
            queue.open(REDIS_PATIENCE)?.pause(lane, false).await?;
            println!("lane {lane} goes on");
        }
        QueueCommand::Drain { reopen, queue } => return drain::run(&queue.open(REDIS_PATIENCE)?, reopen).await,
        QueueCommand::Open { queue } => {
            queue.open(REDIS_PATIENCE)?.close(false).await?;
            println!("intake open");
        }
    }
    Ok(ExitCode::SUCCESS)
}
