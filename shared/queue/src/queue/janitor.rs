//! Housekeeping that any live process may do: put back what dead workers held, and wake retries that are due. Gateways do
//! it too, so that a fleet with no worker left still has its backlog in order.

use std::time::Duration;

use rand::RngExt as _;
use redis::{FromRedisValue, Script, ScriptInvocation};
use tokio_util::sync::CancellationToken;

use super::PROMOTE_LIMIT;
use super::job_hash::job_id;
use super::script::call;
use super::{BEAT_EVERY, LEASE, MAX_FAILED_ATTEMPTS, Queue, QueueError, RECORD_TTL, ms};
use crate::live::Live;
use csm_shared::job::{Failure, FailureClass, JobId, JobState};

/// Lost leases handled per call and shard.
const REAP_LIMIT: u32 = 64;
/// Jobs expired per call and shard.
const EXPIRE_LIMIT: u32 = 64;
/// Calls of one round while each finds as much as it may.
const CALLS_MAX: u32 = 100;
/// Nobody looked at the leases for that long: Redis was away. A lease was renewed for long enough to outlast less.
const REDIS_ABSENCE_MIN: Duration = LEASE.saturating_sub(BEAT_EVERY).saturating_sub(Duration::from_secs(2));
/// What every lease is then good for at least: workers try again every second or two.
const LEASE_GRACE: Duration = BEAT_EVERY;
/// Open jobs looked at per call and shard.
const RECONCILE_LIMIT: u32 = 256;
/// How long ago the last look at an open job must be.
const RECONCILE_AFTER: Duration = Duration::from_secs(60);
/// A consumer that has been idle for that long and holds nothing is taken out.
const CONSUMER_IDLE: Duration = LEASE.saturating_mul(10);
/// Mean pause between two rounds, jittered by half so that processes do not march in step.
const ROUND_PAUSE: Duration = Duration::from_secs(2);

/// A job whose worker was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// The job.
    pub id: JobId,
    /// Where it went: queued again, failed, or cancelled.
    pub state: JobState,
}

impl Queue {
    /// Puts back, or fails, jobs whose lease ran out; after an absence of Redis, leases get time for a beat instead.
    pub async fn reap(&self) -> Result<Vec<Reaped>, QueueError> {
        let lost = Failure::new(FailureClass::WorkerLost, "the worker stopped renewing its lease");
        let lost = serde_json::to_string(&lost)?;
        let reaped = self.on_all::<Vec<(String, String)>>(&self.scripts.reap, |script| {
            script
                .arg(REAP_LIMIT)
                .arg(MAX_FAILED_ATTEMPTS)
                .arg(&lost)
                .arg(ms(RECORD_TTL))
                .arg(ms(REDIS_ABSENCE_MIN))
                .arg(ms(LEASE_GRACE));
        });
        let read = |(id, state): (String, String)| {
            Ok(Reaped { id: job_id(&id)?, state: state.parse().map_err(QueueError::Corrupt)? })
        };
        reaped.await?.into_iter().flatten().map(read).collect()
    }

    /// Moves due retries into their lanes; says how many.
    pub async fn promote(&self) -> Result<u64, QueueError> {
        let tenant_max = self.options.per_shard(self.options.tenant_running_max);
        let moved = self.on_all::<u64>(&self.scripts.promote, |script| {
            script.arg(PROMOTE_LIMIT).arg(tenant_max);
        });
        Ok(moved.await?.into_iter().sum())
    }

    /// Ends queued jobs whose time in the queue is over.
    pub async fn expire(&self) -> Result<Vec<JobId>, QueueError> {
        let expired = self.on_all(&self.scripts.expire, |script| {
            script.arg(EXPIRE_LIMIT).arg(ms(RECORD_TTL));
        });
        job_ids(&expired.await?)
    }

    /// Puts back what has fallen out of the queue without any script's doing, such as with a deleted stream.
    pub async fn reconcile(&self) -> Result<Vec<JobId>, QueueError> {
        self.reconcile_after(RECONCILE_AFTER).await
    }

    /// [`Self::reconcile`] for jobs at which nobody has looked for `after`.
    pub async fn reconcile_after(&self, after: Duration) -> Result<Vec<JobId>, QueueError> {
        let mended = self.on_all(&self.scripts.reconcile, |script| {
            script.arg(RECONCILE_LIMIT).arg(ms(after));
        });
        job_ids(&mended.await?)
    }

    /// Takes out stream consumers that are gone; says how many.
    pub async fn tidy(&self) -> Result<u64, QueueError> {
        let gone = self.on_all::<u64>(&self.scripts.tidy, |script| {
            script.arg(ms(CONSUMER_IDLE));
        });
        Ok(gone.await?.into_iter().sum())
    }

    /// Runs a script on every shard. One that is out of reach does not keep the others from it: its fault is logged, and
    /// answered only where no shard did anything.
    async fn on_all<T: FromRedisValue>(
        &self,
        script: &Script,
        arguments: impl Fn(&mut ScriptInvocation<'_>),
    ) -> Result<Vec<T>, QueueError> {
        let (mut done, mut fault) = (Vec::new(), None);
        for keys in &*self.shards {
            let mut script = call(script, keys);
            arguments(&mut script);
            match self.redis.script_once(&script).await {
                Ok(answer) => done.push(answer),
                Err(error) => {
                    tracing::warn!(shard = keys.root(), error = %error, "cannot run housekeeping script");
                    fault = Some(error);
                }
            }
        }
        match fault {
            Some(fault) if done.is_empty() => Err(fault.into()),
            _ => Ok(done),
        }
    }
}

fn job_ids(ids: &[Vec<String>]) -> Result<Vec<JobId>, QueueError> {
    ids.iter().flatten().map(|id| job_id(id)).collect()
}

/// The loop that does all of it, until told to stop.
pub struct Janitor {
    queue: Queue,
    live: Live,
}

impl Janitor {
    /// A janitor for a queue; ends of jobs that it brings about are announced on the live channel.
    #[must_use]
    pub const fn new(queue: Queue, live: Live) -> Self {
        Self { queue, live }
    }

    /// Works until `stop` is cancelled.
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

    /// Each kind of work once. What fails does not keep the rest from being done.
    pub(super) async fn round(&self) {
        log_failure(self.queue.promote().await);
        for Reaped { id, state } in log_failure(self.queue.reap().await) {
            metrics::counter!(csm_shared::process::telemetry::LEASE_LOST_TOTAL).increment(1);
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
            metrics::counter!(csm_shared::process::telemetry::RECONCILED_TOTAL).increment(1);
            tracing::error!(job = %id, "requeued job that was missing from queue");
        }
        log_failure(self.queue.tidy().await);
    }
}

fn log_failure<T: Default>(done: Result<T, QueueError>) -> T {
    done.unwrap_or_else(|error| {
        tracing::warn!(error = %error, "cannot run housekeeping");
        T::default()
    })
}
