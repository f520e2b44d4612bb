//! `csm top`: the queue and its workers, read once a second.

mod screen;
mod stats_history;

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use csm_gateway::TargetWaitArgs;
use csm_queue::queue::{Queue, QueueError, QueueStats};
use csm_shared::out;
use csm_shared::process::output::printable;
use csm_shared::process::shutdown::{COMMAND_END_LIMIT, Shutdown};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::RedisQueueArgs;
use stats_history::StatsHistory;

/// Pause between two reads of the queue.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait of one read for an unreachable Redis.
const REDIS_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Print one table and end
    #[arg(long)]
    once: bool,
    /// Waits for which the slots are chosen that each lane wants; the gateways' settings.
    #[command(flatten)]
    target_wait: TargetWaitArgs,
    #[command(flatten)]
    queue: RedisQueueArgs,
}

/// Result of one read of the queue.
type StatsResult = Result<QueueStats, QueueError>;

pub(crate) async fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let mut updates = poll_stats(args.queue.open(REDIS_PATIENCE)?);
    let first = updates.recv().await.context("the queue is no longer read")??;
    let mut history = StatsHistory::new(first, args.target_wait.into());
    if args.once {
        out!("{}", history.view());
        return Ok(ExitCode::SUCCESS);
    }
    let shutdown = Shutdown::on_signals(COMMAND_END_LIMIT).context("signals")?;
    if io::stdout().is_terminal() {
        screen::watch(&mut updates, &mut history, &shutdown).await?;
    } else {
        print_all(&mut updates, &mut history, &shutdown).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the queue once a second in a task of its own, until the receiver is dropped.
fn poll_stats(queue: Queue) -> mpsc::Receiver<StatsResult> {
    let (sender, updates) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if sender.send(queue.stats().await).await.is_err() {
                return;
            }
        }
    });
    updates
}

/// Prints one plain table after another until the output is closed or a signal comes.
async fn print_all(
    updates: &mut mpsc::Receiver<StatsResult>,
    history: &mut StatsHistory,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    loop {
        let text = history.trouble().map_or_else(|| history.view().to_string(), |trouble| format!("{trouble}\n"));
        match writeln!(io::stdout(), "{}", printable(&text)) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("standard output")?,
        }
        tokio::select! {
            look = updates.recv() => history.take(look.context("the queue is no longer read")?)?,
            () = shutdown.begun() => return Ok(()),
        }
    }
}
