//! The loop of a worker: claims a job while a slot is free, runs each claim as one task, drains on
//! request.
//!
//! Readiness probes do not stop a worker that pulls its jobs. The loop therefore starts only once
//! the engine has loaded and warmed up.

mod attempt;
mod heartbeat;
mod occupancy;
mod report_task;

use std::sync::Arc;
use std::time::{Duration, Instant};

use csm_queue::live::{Live, Subscriptions};
use csm_queue::queue::{
    Claim, Claimed, Claimer, HOLD_PAUSE, Queue, QueueError, WakeListener, WorkerCapacity, WorkerId,
};
use csm_shared::process::outage_log::OutageLog;
use csm_shared::process::telemetry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::BUILD;
use crate::deletion_cost::{OwnPod, deletion_cost};
use crate::health::{SharedFault, SharedPart};
use crate::speak::AttemptContext;
use csm_engine::engine::EngineError;
pub(crate) use heartbeat::stuck;
use occupancy::Occupancy;

/// Pause after a failed claim or a failed wait.
const TROUBLE_PAUSE: Duration = Duration::from_millis(500);
/// Longest time to release running jobs once the grace of the drain is over.
const HAND_BACK_GRACE: Duration = Duration::from_secs(10);

/// State that the loop and its attempts share.
pub struct Runner {
    /// Queue of the jobs.
    pub queue: Queue,
    /// Subscriptions that announce cancels.
    pub subscriptions: Subscriptions,
    /// Engine, marker and store of every attempt.
    pub context: AttemptContext,
    /// Live channel, for the ends of jobs.
    pub live: Live,
    /// Id of this process in the queue.
    pub worker_id: WorkerId,
    /// Slots and reserves of the worker while it runs nothing.
    pub capacity: WorkerCapacity,
    /// Host name, for operators.
    pub host: String,
    /// Longest time that running jobs may take to finish once `stop` is cancelled.
    pub drain: Duration,
    /// Pod of this process, if its deletion cost is to be kept.
    pub own_pod: Option<OwnPod>,
}

/// End of the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerEnd {
    /// End on request, after the drain.
    Drained,
    /// Death of the engine. Its jobs go on with other workers.
    EngineDied(EngineError),
}

/// Keeps the deletion cost of the worker's pod, if the settings name one.
async fn keep_deletion_cost(runner: Arc<Runner>, occupancy: Occupancy) {
    if let Some(pod) = &runner.own_pod {
        match pod.keep_deletion_cost(|| deletion_cost(occupancy.expected_frames())).await {}
    }
}

impl Runner {
    /// Runs jobs until `stop` is cancelled or the engine dies. Then finishes what fits the grace
    /// and releases the rest.
    pub async fn run(self, stop: CancellationToken) -> RunnerEnd {
        let runner = Arc::new(self);
        let (occupancy, attempts, hand_back) = (Occupancy::default(), TaskTracker::new(), CancellationToken::new());
        let over = CancellationToken::new();
        let reports =
            tokio::spawn(report_task::run(Arc::clone(&runner), occupancy.clone(), stop.clone(), over.clone()));
        let deletion_costs = tokio::spawn(keep_deletion_cost(Arc::clone(&runner), occupancy.clone()));
        let end = runner.claim_loop(&stop, &occupancy, &attempts, &hand_back).await;
        // A pod that ends has no cost any more.
        deletion_costs.abort();
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
        let slots = Arc::new(Semaphore::new(self.capacity.slots.into()));
        let (mut wake, mut claimer) = (self.queue.wake_listener(), self.queue.claimer(&self.worker_id, BUILD));
        loop {
            metrics::gauge!(telemetry::SLOTS, "state" => "free").set(slots.available_permits() as f64);
            metrics::gauge!(telemetry::SLOTS, "state" => "busy").set(attempts.len() as f64);
            let mut slot = tokio::select! {
                biased;
                () = stop.cancelled() => return RunnerEnd::Drained,
                why = self.context.engine.closed() => return RunnerEnd::EngineDied(why),
                Some(slot) = self.free_slot(&slots) => slot,
            };
            match self.next_job(&mut claimer, &mut wake, occupancy).await {
                Ok(Some((job, claim_took))) => {
                    attempt::trace_wait(&job, claim_took);
                    let occupied = occupancy.enter(job.spec.lane, job.spec.expected_cost());
                    if job.alone {
                        // The job was claimed while nothing ran, so the other slots are free or
                        // about to be. From here on no other job may take them.
                        match Arc::clone(&slots).acquire_many_owned(u32::from(self.capacity.slots) - 1).await {
                            Ok(others) => slot.merge(others),
                            Err(error) => tracing::error!(error = %error, "cannot reserve all slots for suspect job"),
                        }
                    }
                    let (runner, occupancy, hand_back) = (Arc::clone(self), occupancy.clone(), hand_back.clone());
                    attempts.spawn(async move {
                        runner.attempt(job, &occupancy, &hand_back).await;
                        // Order matters: the next job that gets the slot must find its place
                        // counted as free.
                        drop(occupied);
                        drop(slot);
                    });
                }
                Ok(None) => {}
                Err(QueueError::OtherFleet(mismatch)) => {
                    self.context.breaker.trip(&SharedFault::new(SharedPart::Fleet, &mismatch));
                }
                // Another try gets the same answer: this worker cannot work until an operator acts.
                Err(QueueError::Redis(fault)) if fault.is_about_access() => {
                    self.context.breaker.trip(&SharedFault::new(SharedPart::Redis, &fault));
                }
                Err(error) => {
                    static OUTAGE: OutageLog = OutageLog::new();
                    if let Some(outage) = OUTAGE.failed() {
                        tracing::warn!(error = %error, %outage, "cannot claim job, retrying");
                    }
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                }
            }
        }
    }

    /// Waits for a free slot and for all shared parts to work: a job that cannot be delivered
    /// should not be claimed. Returns `None` if the slots are closed, which never happens.
    async fn free_slot(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            self.context.breaker.closed().await;
            let slot = Arc::clone(slots).acquire_owned().await.ok()?;
            if self.context.breaker.is_closed() {
                return Some(slot);
            }
        }
    }

    /// Makes one claim, which is never cancelled half way, and returns how long it took. If there is no job, waits for a wake-up
    /// or for the end of a job that runs here, because more may be claimed then.
    async fn next_job(
        &self,
        claimer: &mut Claimer,
        wake: &mut WakeListener,
        occupancy: &Occupancy,
    ) -> Result<Option<(Claimed, Duration)>, QueueError> {
        let begun = Instant::now();
        match claimer.claim(occupancy.capacity(self.capacity)).await? {
            Claim::Job(job) => return Ok(Some((*job, begun.elapsed()))),
            Claim::Expired(id) => {
                tracing::info!(job = %id, "ended job in queue without a run");
                self.live.conclude(&self.queue, &id).await?;
            }
            Claim::Nothing => tokio::select! {
                woken = wake.wait(occupancy.capacity(self.capacity)) => claimer.begin_with(woken?),
                () = occupancy.freed() => {}
            },
            // A held worker takes no wake token: another worker may be able to use it.
            Claim::Hold => drop(tokio::time::timeout(HOLD_PAUSE, occupancy.freed()).await),
        }
        Ok(None)
    }
}
