//! Housekeeping of the queue: requeues the jobs of dead workers, wakes due retries, expires and
//! repairs jobs. Each call handles a bounded number; the janitor calls them in rounds.

use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};

use super::PROMOTE_LIMIT;
use super::job_hash::job_id;
use super::script::call;
use super::{BEAT_EVERY, LEASE, MAX_FAILED_ATTEMPTS, Queue, QueueError, RECORD_TTL, ms};
use csm_shared::job::{Failure, FailureClass, JobId, JobState};
use csm_shared::process::outage_log::OutageLog;

/// Lost leases handled per call and shard.
const REAP_LIMIT: u32 = 64;
/// Jobs expired per call and shard.
pub(crate) const EXPIRE_LIMIT: u32 = 64;
/// Shortest time without any check of the leases that means an absence of Redis. A lease that was
/// renewed on time outlasts a shorter absence.
const REDIS_ABSENCE_MIN: Duration = LEASE.saturating_sub(BEAT_EVERY).saturating_sub(Duration::from_secs(2));
/// Time that every lease is given at least after an absence of Redis; workers try again every
/// second or two.
const LEASE_GRACE: Duration = BEAT_EVERY;
/// Open jobs checked per call and shard.
const RECONCILE_LIMIT: u32 = 256;
/// Shortest time between two checks of an open job.
const RECONCILE_AFTER: Duration = Duration::from_secs(60);
/// Idle time after which a consumer that holds nothing is removed.
const CONSUMER_IDLE: Duration = LEASE.saturating_mul(10);

/// A job whose worker was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Id of the job.
    pub id: JobId,
    /// New state of the job: queued again, failed, or cancelled.
    pub state: JobState,
}

impl Queue {
    /// Requeues, or fails, jobs whose lease ran out. After an absence of Redis, leases get time for
    /// a heartbeat instead.
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

    /// Moves due retries into their streams, and a parked job of a tenant with room; returns how
    /// many.
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

    /// Repairs jobs that fell out of the queue without any script's doing, such as with a deleted
    /// stream.
    pub async fn reconcile(&self) -> Result<Vec<JobId>, QueueError> {
        self.reconcile_after(RECONCILE_AFTER).await
    }

    /// Repairs jobs like [`Self::reconcile`], if their last check is at least `after` ago.
    pub async fn reconcile_after(&self, after: Duration) -> Result<Vec<JobId>, QueueError> {
        let mended = self.on_all(&self.scripts.reconcile, |script| {
            script.arg(RECONCILE_LIMIT).arg(ms(after));
        });
        job_ids(&mended.await?)
    }

    /// Removes stream consumers that are gone, lapsed reports of workers and outdated dead letters.
    /// Returns the number of consumers.
    pub async fn tidy(&self) -> Result<u64, QueueError> {
        let gone = self.on_all::<u64>(&self.scripts.tidy, |script| {
            script.arg(ms(CONSUMER_IDLE));
        });
        Ok(gone.await?.into_iter().sum())
    }

    /// Runs a script on every shard. A shard that is out of reach does not keep the others from it.
    /// Its fault is logged, and returned only if no shard did anything.
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
                    static OUTAGE: OutageLog = OutageLog::new();
                    if let Some(outage) = OUTAGE.failed() {
                        let shard = keys.root();
                        tracing::warn!(shard, error = %error, %outage, "cannot run housekeeping script");
                    }
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
