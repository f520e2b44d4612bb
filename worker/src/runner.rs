//! The worker's loop: claim a job while a slot is free, run each claim as one owned task, drain on request.
//!
//! Readiness does not gate a puller, so the loop itself does: it starts only once the engine has loaded and warmed up.

mod attempt;
mod heartbeat;

use std::sync::Arc;
use std::time::Duration;

use csm_shared::live::LiveHub;
use csm_shared::queue::{Lease, Owner, Queue, QueueError, WakeListener};
use csm_shared::telemetry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::EngineError;
use crate::speak::Studio;

/// Pause after Redis refused a claim or a wait.
const TROUBLE_PAUSE: Duration = Duration::from_millis(500);
/// How long handing back may take once the drain's grace is over.
const HAND_BACK_GRACE: Duration = Duration::from_secs(10);

/// What the loop and its attempts share.
pub struct Runner {
    /// The work.
    pub queue: Queue,
    /// Wake-ups for cancels.
    pub hub: LiveHub,
    /// Engine, mark, store.
    pub studio: Studio,
    /// This process, as the queue knows it.
    pub owner: Owner,
    /// Jobs at once.
    pub slots: u8,
    /// How long running jobs may take to finish once `stop` is cancelled.
    pub drain: Duration,
}

/// How the loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As asked, with nothing left behind.
    Drained,
    /// The engine died; every job it held was handed on.
    EngineDied(EngineError),
}

impl Runner {
    /// Works until `stop` is cancelled or the engine dies, then finishes what fits the grace and hands back the rest.
    pub async fn run(self, stop: CancellationToken) -> End {
        let runner = Arc::new(self);
        let (attempts, hand_back) = (TaskTracker::new(), CancellationToken::new());
        let end = runner.claim_loop(&stop, &attempts, &hand_back).await;
        attempts.close();
        tracing::info!(running = attempts.len(), grace_s = runner.drain.as_secs(), "draining");
        if tokio::time::timeout(runner.drain, attempts.wait()).await.is_err() {
            tracing::warn!(running = attempts.len(), "the grace is over; handing running jobs back");
            hand_back.cancel();
            if tokio::time::timeout(HAND_BACK_GRACE, attempts.wait()).await.is_err() {
                tracing::error!(running = attempts.len(), "jobs could not be handed back; their leases will run out");
            }
        }
        end
    }

    async fn claim_loop(
        self: &Arc<Self>,
        stop: &CancellationToken,
        attempts: &TaskTracker,
        hand_back: &CancellationToken,
    ) -> End {
        let slots = Arc::new(Semaphore::new(self.slots.into()));
        let mut wake = self.queue.wake_listener();
        loop {
            metrics::gauge!(telemetry::SLOTS, "state" => "free").set(slots.available_permits() as f64);
            metrics::gauge!(telemetry::SLOTS, "state" => "busy").set(attempts.len() as f64);
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Drained,
                why = self.studio.engine.closed() => return End::EngineDied(why),
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            match self.next_job(&mut wake).await {
                Ok(Some(lease)) => {
                    let (runner, hand_back) = (Arc::clone(self), hand_back.clone());
                    attempts.spawn(async move {
                        runner.attempt(lease, &hand_back).await;
                        drop(slot);
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "cannot claim; trying again");
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                }
            }
        }
    }

    /// One claim; where there is nothing to claim, one wait for a wake-up. Neither is ever cancelled half way.
    async fn next_job(&self, wake: &mut WakeListener) -> Result<Option<Lease>, QueueError> {
        let lease = self.queue.claim(&self.owner).await?;
        if lease.is_none() {
            wake.wait().await?;
        }
        Ok(lease)
    }
}
