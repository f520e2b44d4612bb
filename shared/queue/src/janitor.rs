//! The janitor: housekeeping that any live process does in rounds. Gateways do it too, so that a
//! fleet without workers keeps its backlog in order.

use std::time::Duration;

use csm_shared::process::outage_log::OutageLog;
use csm_shared::process::telemetry::{LEASE_LOST_TOTAL, RECONCILED_TOTAL};
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::queue::{EXPIRE_LIMIT, Queue, QueueError, Reaped};

/// Largest number of calls in one round to expire jobs. Another call follows only if the last one
/// reached its limit.
const CALLS_MAX: u32 = 100;
/// Mean pause between two rounds, jittered by half so that processes do not run in step.
const ROUND_PAUSE: Duration = Duration::from_secs(2);

/// Task that does all housekeeping, round by round, until it is stopped.
pub struct Janitor {
    queue: Queue,
    live: Live,
}

impl Janitor {
    /// Creates a janitor for a queue. Jobs that it ends are announced on the live channel.
    #[must_use]
    pub const fn new(queue: Queue, live: Live) -> Self {
        Self { queue, live }
    }

    /// Does one round after another until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = ROUND_PAUSE.mul_f64(rand::rng().random_range(0.5..1.5));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.round().await;
        }
    }

    /// Does each kind of housekeeping. A failure of one kind does not keep the others from being
    /// done.
    pub(crate) async fn round(&self) {
        log_failure(self.queue.promote().await);
        for Reaped { id, state } in log_failure(self.queue.reap().await) {
            metrics::counter!(LEASE_LOST_TOTAL).increment(1);
            tracing::warn!(job = %id, state = %state, "reaped job of lost worker");
            log_failure(self.live.conclude(&self.queue, &id).await);
        }
        for _ in 0..CALLS_MAX {
            let expired = log_failure(self.queue.expire().await);
            for id in &expired {
                tracing::info!(job = %id, "expired job");
                log_failure(self.live.conclude(&self.queue, id).await);
            }
            if expired.len() < EXPIRE_LIMIT as usize {
                break;
            }
        }
        for id in log_failure(self.queue.reconcile().await) {
            metrics::counter!(RECONCILED_TOTAL).increment(1);
            tracing::error!(job = %id, "requeued job that was missing from queue");
        }
        log_failure(self.queue.tidy().await);
    }
}

fn log_failure<T: Default>(done: Result<T, QueueError>) -> T {
    done.unwrap_or_else(|error| {
        static OUTAGE: OutageLog = OutageLog::new();
        if let Some(outage) = OUTAGE.failed() {
            tracing::warn!(error = %error, %outage, "cannot run housekeeping");
        }
        T::default()
    })
}
