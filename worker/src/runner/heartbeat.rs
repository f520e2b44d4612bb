//! Keeps a lease alive while its attempt gets on, and brings back what the queue has to say about it.
//!
//! A lease is good for [`LEASE`] from the attempt's last sign of life, whenever it is renewed. So a model that is stuck loses
//! its jobs as soon as a worker that died would, however well its process is; a slow one keeps them.

use std::time::{Duration, Instant};

use csm_queue::live::Subscriptions;
use csm_queue::queue::{BEAT_EVERY, Beat, LEASE, LeaseRef, Queue};

use crate::speak::AttemptProgress;

/// Pause after a beat that Redis did not answer. The lease may still be ours when it does again.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two looks at the signs of life.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// What counts of the time between two looks at most: where it was longer the process itself was held up, and with it the
/// model.
const COUNTED_GAP_MAX: Duration = BEAT_EVERY;

/// Why an attempt must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// Somebody else has the job now.
    LeaseLost,
    /// The caller called it off.
    Cancelled,
    /// The caller's deadline is over.
    Late,
    /// It did not get on; the lease has run out. The engine is given up.
    Stuck,
}

/// Beats until there is a reason to stop: at once when a cancel is announced, else as [`LeaseTimer`] says.
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
                    tracing::warn!(job = %at.id, error = %error, "cannot renew lease, retrying");
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                }
            }
        }
        called = tokio::time::timeout(CHECK_EVERY, cancel.woken()).await.is_ok();
    }
}

/// When a lease is renewed and for how long. It has no clock of its own.
struct LeaseTimer {
    /// The number at the last look.
    progress: u64,
    checked: Instant,
    /// How long the number has been the same.
    silent: Duration,
    /// The last renewal, and the end of the lease by it; none before the first.
    renewed: Option<(Instant, Instant)>,
}

/// What a look says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseAction {
    /// Renew the lease for so long from now.
    Renew(Duration),
    /// Nothing has to be done; a renewal would be for so long.
    Wait(Duration),
    /// The lease is over, since nothing got on.
    Stuck,
}

impl LeaseTimer {
    fn new(now: Instant, progress: u64) -> Self {
        Self { progress, checked: now, silent: Duration::ZERO, renewed: None }
    }

    /// Looks at the number `progress`, which differs from the last one if the attempt got on.
    fn next_action(&mut self, now: Instant, progress: u64) -> LeaseAction {
        let passed = now.duration_since(self.checked).min(COUNTED_GAP_MAX);
        self.checked = now;
        self.silent = if progress == self.progress { self.silent + passed } else { Duration::ZERO };
        self.progress = progress;
        let Some(good_for) = LEASE.checked_sub(self.silent).filter(|left| !left.is_zero()) else {
            return LeaseAction::Stuck;
        };
        let due = self.renewed.is_none_or(|(renewed, end)| {
            // In time, and at once where it has become worth as much as a beat.
            now >= renewed + BEAT_EVERY || now + good_for >= end + BEAT_EVERY
        });
        if due { LeaseAction::Renew(good_for) } else { LeaseAction::Wait(good_for) }
    }

    /// Notes that the lease was renewed at `now`.
    fn renewed(&mut self, now: Instant, good_for: Duration) {
        self.renewed = Some((now, now + good_for));
    }
}

#[cfg(test)]
mod tests;
