//! Renewal of a lease while its attempt makes progress, and the answers of the queue to it.
//!
//! A lease ends [`LEASE`] after the last progress of the attempt, whenever it is renewed. A stuck
//! model loses its jobs as soon as a dead worker would, however healthy its process is. A slow
//! model keeps them.

use std::time::{Duration, Instant};

use csm_queue::live::Subscriptions;
use csm_queue::queue::{BEAT_EVERY, Beat, LEASE, LeaseRef, Queue};
use csm_shared::process::outage_log::OutageLog;

use crate::speak::AttemptProgress;

/// Pause after a renewal that Redis did not answer. The lease may still be valid when Redis answers
/// again.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two checks of the progress.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// Upper bound on silence counted per check. A longer gap means that this process was suspended,
/// not that the model is stuck.
const COUNTED_GAP_MAX: Duration = BEAT_EVERY;

/// Reason to stop an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// Another worker has the job, or the job has ended.
    LeaseLost,
    /// The caller cancelled the job.
    Cancelled,
    /// The caller's deadline has passed.
    Late,
    /// The attempt made no progress, and the lease has run out. The engine is given up.
    Stuck,
}

/// Renews the lease until there is a reason to stop. Asks the queue at once when a cancel is
/// announced, otherwise when [`LeaseTimer`] says so.
pub(super) async fn beat(
    queue: &Queue,
    subscriptions: &Subscriptions,
    at: &LeaseRef,
    progress: &AttemptProgress,
) -> Interruption {
    let mut cancel = subscriptions.subscribe_to(queue.cancel_channel(at));
    let mut timer = LeaseTimer::new(Instant::now(), progress.read());
    let mut called = false;
    loop {
        let now = Instant::now();
        let good_for = match timer.next_action(now, progress.read()) {
            LeaseAction::Stuck => {
                tracing::error!(job = %at.id, silent_s = LEASE.as_secs(), "engine made no progress, giving up engine");
                progress.give_up();
                return Interruption::Stuck;
            }
            LeaseAction::Renew(good_for) => Some(good_for),
            LeaseAction::Wait(good_for) => called.then_some(good_for),
        };
        if let Some(good_for) = good_for {
            match queue.beat(at, good_for).await {
                Ok(Beat::Kept) => timer.renewed(now, good_for),
                Ok(Beat::CancelRequested) => return Interruption::Cancelled,
                Ok(Beat::Late) => return Interruption::Late,
                Ok(Beat::Lost) => return Interruption::LeaseLost,
                Err(error) => {
                    static OUTAGE: OutageLog = OutageLog::new();
                    if let Some(outage) = OUTAGE.failed() {
                        tracing::warn!(job = %at.id, error = %error, %outage, "cannot renew lease, retrying");
                    }
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                }
            }
        }
        called = tokio::time::timeout(CHECK_EVERY, cancel.woken()).await.is_ok();
    }
}

/// Waits until an attempt without a lease has made no progress for as long as a lease lasts. The engine
/// is given up then.
pub(crate) async fn stuck(progress: &AttemptProgress) {
    let mut timer = LeaseTimer::new(Instant::now(), progress.read());
    while timer.next_action(Instant::now(), progress.read()) != LeaseAction::Stuck {
        tokio::time::sleep(CHECK_EVERY).await;
    }
    tracing::error!(silent_s = LEASE.as_secs(), "engine made no progress, giving up engine");
    progress.give_up();
}

/// Schedule of renewals, and the length of each. The timer reads no clock: callers pass the time.
struct LeaseTimer {
    /// Progress number at the last check.
    progress: u64,
    checked: Instant,
    /// Time for which the progress number has not changed.
    silent: Duration,
    /// Time of the last renewal and the end of the lease that it set; none before the first
    /// renewal.
    renewed: Option<(Instant, Instant)>,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseAction {
    /// Renewal of the lease, for this long from now.
    Renew(Duration),
    /// No renewal is due; one would be for this long.
    Wait(Duration),
    /// End of the lease for lack of progress.
    Stuck,
}

impl LeaseTimer {
    fn new(now: Instant, progress: u64) -> Self {
        Self { progress, checked: now, silent: Duration::ZERO, renewed: None }
    }

    /// Checks the progress number, which differs from the last one if the attempt made progress.
    fn next_action(&mut self, now: Instant, progress: u64) -> LeaseAction {
        let passed = now.duration_since(self.checked).min(COUNTED_GAP_MAX);
        self.checked = now;
        self.silent = if progress == self.progress { self.silent + passed } else { Duration::ZERO };
        self.progress = progress;
        let Some(good_for) = LEASE.checked_sub(self.silent).filter(|left| !left.is_zero()) else {
            return LeaseAction::Stuck;
        };
        let due = self.renewed.is_none_or(|(renewed, end)| {
            // Renewals are due every `BEAT_EVERY`, and at once if one would extend the lease by
            // that much.
            now >= renewed + BEAT_EVERY || now + good_for >= end + BEAT_EVERY
        });
        if due { LeaseAction::Renew(good_for) } else { LeaseAction::Wait(good_for) }
    }

    /// Records that the lease was renewed at `now`.
    fn renewed(&mut self, now: Instant, good_for: Duration) {
        self.renewed = Some((now, now + good_for));
    }
}

#[cfg(test)]
mod tests;
