//! The worker's loop: claim a job while a slot is free, run each claim as one owned task, drain on request.
//!
//! Readiness does not gate a puller, so the loop itself does: it starts only once the engine has loaded and warmed up.

mod attempt;
mod heartbeat;
mod occupancy;
mod report_task;

use std::sync::Arc;
use std::time::Duration;

use csm_queue::live::Subscriptions;
use csm_queue::queue::{Claim, Claimed, Claimer, HOLD_PAUSE, Queue, QueueError, WakeListener, WorkerId};
use csm_shared::process::telemetry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::BUILD;
use crate::speak::AttemptContext;
use csm_engine::engine::EngineError;
use occupancy::Occupancy;

/// Pause after Redis refused a claim or a wait.
const TROUBLE_PAUSE: Duration = Duration::from_millis(500);
/// How long handing back may take once the drain's grace is over.
const HAND_BACK_GRACE: Duration = Duration::from_secs(10);

/// What the loop and its attempts share.
pub struct Runner {
    /// The work.
    pub queue: Queue,
    /// Wake-ups for cancels.
    pub subscriptions: Subscriptions,
    /// Engine, mark, store.
    pub context: AttemptContext,
    /// This process, as the queue knows it.
    pub worker_id: WorkerId,
    /// Jobs at once.
    pub slots: u8,
    /// Slots that bulk jobs may not take.
    pub reserve: u8,
    /// This machine, for operators.
    pub host: String,
    /// How long running jobs may take to finish once `stop` is cancelled.
    pub drain: Duration,
}

/// How the loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerEnd {
    /// As asked, with nothing left behind.
    Drained,
    /// The engine died; every job it held was handed on.
    EngineDied(EngineError),
}

impl Runner {
    /// Works until `stop` is cancelled or the engine dies, then finishes what fits the grace and hands back the rest.
    pub async fn run(self, stop: CancellationToken) -> RunnerEnd {
        let runner = Arc::new(self);
        let (occupancy, attempts, hand_back) = (Occupancy::default(), TaskTracker::new(), CancellationToken::new());
        let over = CancellationToken::new();
        let reports =
            tokio::spawn(report_task::run(Arc::clone(&runner), occupancy.clone(), stop.clone(), over.clone()));
        let end = runner.claim_loop(&stop, &occupancy, &attempts, &hand_back).await;
        attempts.close();
        tracing::info!(running = attempts.len(), grace_s = runner.drain.as_secs(), "draining worker");
        if tokio::time::timeout(runner.drain, attempts.wait()).await.is_err() {
            tracing::warn!(running = attempts.len(), "drain timed out, releasing running jobs");
            hand_back.cancel();
            if tokio::time::timeout(HAND_BACK_GRACE, attempts.wait()).await.is_err() {
                tracing::error!(running = attempts.len(), "cannot release jobs, their leases will expire");
            }
        }
        over.cancel();
        if let Err(error) = reports.await {
            tracing::error!(error = %error, "report task failed");
        }
        end
    }

    async fn claim_loop(
        self: &Arc<Self>,
        stop: &CancellationToken,
        occupancy: &Occupancy,
        attempts: &TaskTracker,
        hand_back: &CancellationToken,
    ) -> RunnerEnd {
        let slots = Arc::new(Semaphore::new(self.slots.into()));
        let (mut wake, mut claimer) = (self.queue.wake_listener(), self.queue.claimer(&self.worker_id, BUILD));
        loop {
            metrics::gauge!(telemetry::SLOTS, "state" => "free").set(slots.available_permits() as f64);
            metrics::gauge!(telemetry::SLOTS, "state" => "busy").set(attempts.len() as f64);
            let mut slot = tokio::select! {
                biased;
                () = stop.cancelled() => return RunnerEnd::Drained,
                why = self.context.engine.closed() => return RunnerEnd::EngineDied(why),
                Ok(slot) = Arc::clone(&slots).acquire_owned() => slot,
            };
            match self.next_job(&mut claimer, &mut wake, occupancy).await {
                Ok(Some(job)) => {
                    let occupied = occupancy.enter(job.spec.lane, job.spec.expected_frames());
                    if job.alone {
                        // It was claimed while nothing ran, so the other slots are free, or about to be; nothing may take
                        // them now.
                        match Arc::clone(&slots).acquire_many_owned(u32::from(self.slots) - 1).await {
                            Ok(others) => slot.merge(others),
                            Err(error) => tracing::error!(error = %error, "cannot reserve all slots for suspect job"),
                        }
                    }
                    let (runner, occupancy, hand_back) = (Arc::clone(self), occupancy.clone(), hand_back.clone());
                    attempts.spawn(async move {
                        runner.attempt(job, &occupancy, &hand_back).await;
                        // In this order: whoever gets the slot must find the place counted as free.
                        drop(occupied);
                        drop(slot);
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "cannot claim job, retrying");
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                }
            }
        }
    }

    /// One claim, never cancelled half way; where there is nothing to claim, one wait for a wake-up or for the end of a job
    /// that runs here, after which more may be claimed.
    async fn next_job(
        &self,
        claimer: &mut Claimer,
        wake: &mut WakeListener,
        occupancy: &Occupancy,
    ) -> Result<Option<Claimed>, QueueError> {
        match claimer.claim(occupancy.capacity(self.slots, self.reserve)).await? {
            Claim::Job(job) => return Ok(Some(*job)),
            Claim::Expired(id) => {
                tracing::info!(job = %id, "expired job in queue");
                self.context.live.conclude(&self.queue, &id).await?;
            }
            Claim::Nothing => tokio::select! {
                woken = wake.wait() => claimer.begin_with(woken?),
                () = occupancy.freed() => {}
            },
            // It leaves the wake-ups to workers that can follow them.
            Claim::Hold => drop(tokio::time::timeout(HOLD_PAUSE, occupancy.freed()).await),
        }
        Ok(None)
    }
}
