//! `csm queue drain`: closes the intake and waits until the queue is empty.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use csm_queue::queue::{Queue, QueueError, QueueStats};
use csm_shared::process::shutdown::{COMMAND_END_LIMIT, Shutdown};
use csm_shared::{errln, outln};
use indicatif::ProgressBar;

/// Pause between two reads of the queue.
const EVERY: Duration = Duration::from_millis(500);

/// Closes the intake and waits until no job is open, or until a signal comes.
pub(super) async fn run(queue: &Queue, reopen: bool) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals(COMMAND_END_LIMIT).context("signals")?;
    queue.close(true).await?;
    let left = tokio::select! {
        done = until_empty(queue) => done.map(|()| 0),
        () = shutdown.begun() => queue.stats().await.map(|stats| stats.open),
    };
    let intake = if reopen { "intake open again" } else { "intake closed until `csm queue open`" };
    if reopen {
        queue.close(false).await?;
    }
    match left.with_context(|| intake.to_owned())? {
        0 => outln!("empty; {intake}"),
        left => {
            errln!("interrupted with {} left; {intake}", jobs(left));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what is left until the queue is empty: on one line of a terminal, or else a line for each
/// change. Redis may be unreachable meanwhile.
async fn until_empty(queue: &Queue) -> Result<(), QueueError> {
    let (bar, mut last) = (ProgressBar::new_spinner(), String::new());
    loop {
        let line = match queue.stats().await {
            Ok(stats) if stats.open == 0 => break,
            Ok(stats) => left(&stats),
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error),
        };
        if line != last {
            if bar.is_hidden() {
                errln!("{line}");
            }
            bar.set_message(line.clone());
            last = line;
        }
        bar.tick();
        tokio::time::sleep(EVERY).await;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Formats what is left, and what may keep the queue from ever emptying.
fn left(stats: &QueueStats) -> String {
    let waiting = stats.open.saturating_sub(stats.running + stats.delayed);
    let mut line = format!(
        "{} left: {waiting} waiting, {} running, {} to be tried again later",
        jobs(stats.open),
        stats.running,
        stats.delayed
    );
    for lane in stats.lanes.iter().filter(|lane| lane.paused && lane.depth > 0) {
        line += &format!("; lane {} is paused", lane.lane);
    }
    if stats.workers.iter().all(|worker| worker.report.draining) {
        line += "; no worker takes jobs";
    }
    line
}

fn jobs(count: u64) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::worker;
    use super::*;

    #[test]
    fn what_keeps_the_queue_from_emptying_is_said() {
        let mut stats = QueueStats::empty();
        (stats.open, stats.running, stats.delayed) = (9, 2, 3);
        stats.workers = vec![worker("a:1", 0)];
        assert_eq!(left(&stats), "9 jobs left: 4 waiting, 2 running, 3 to be tried again later");
        stats.lanes[2].paused = true;
        assert!(!left(&stats).contains("paused"), "an empty lane keeps nobody");
        stats.lanes[2].depth = 4;
        stats.workers[0].report.draining = true;
        assert!(left(&stats).ends_with("; lane bulk is paused; no worker takes jobs"), "{}", left(&stats));
    }
}
