//! Housekeeping of the queue: requeues the jobs of dead workers, wakes due retries, expires and
//! repairs jobs. Each call of a script handles a bounded number, so that no claim waits long behind
//! it; the janitor calls them in rounds.

use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};

use super::job_hash::job_id;
use super::redis_keys::SUSPECTS;
use super::script::call;
use super::{BEAT_EVERY, LEASE, MAX_FAILED_ATTEMPTS, PROMOTE_LIMIT, Queue, QueueError, RECORD_TTL, RedisKeys, ms};
use csm_shared::job::{Failure, FailureClass, JobId, JobState, Lane};
use csm_shared::process::outage_log::OutageLog;

/// Lost leases handled per call and shard.
const REAP_LIMIT: u32 = 32;
/// Jobs expired per call and shard.
const EXPIRE_LIMIT: u32 = 64;
/// Shortest time without any check of the leases that means an absence of Redis. A lease that was
/// renewed on time outlasts a shorter absence.
pub(crate) const REDIS_ABSENCE_MIN: Duration = LEASE.saturating_sub(BEAT_EVERY).saturating_sub(Duration::from_secs(2));
/// Time in which no lease is lost after an absence of Redis; workers try again every second or two.
const LEASE_GRACE: Duration = BEAT_EVERY;
/// Open jobs checked per call and shard, about.
const RECONCILE_LIMIT: u64 = 64;
/// Shortest time from the begin of one check of all open jobs to that of the next.
const RECONCILE_AFTER: Duration = Duration::from_secs(60);
/// Idle time after which a consumer that holds nothing is removed.
const CONSUMER_IDLE: Duration = LEASE.saturating_mul(10);
/// Places in line of delivered jobs that are removed per call and shard.
const PLACES_LIMIT: u32 = 1_000;
/// Streams of a shard, which are tidied one by one.
pub(crate) const STREAMS: usize = Lane::ALL.len() + 1;

/// A job whose worker was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Id of the job.
    pub id: JobId,
    /// New state of the job: queued again, failed, or cancelled.
    pub state: JobState,
}

/// Result of one call on each of several shards.
#[derive(Debug, Default)]
pub(crate) struct Batch<T> {
    /// Jobs that were handled.
    pub(crate) done: T,
    /// True if a shard reached the call's limit, so that more may be left.
    pub(crate) more: bool,
}

/// Housekeeping of some shards of a queue.
pub(crate) struct Housekeeping<'a> {
    queue: &'a Queue,
    shards: Vec<&'a RedisKeys>,
}

impl Queue {
    /// Returns the housekeeping of the shards with these numbers.
    pub(crate) fn housekeeping(&self, shards: &[usize]) -> Housekeeping<'_> {
        Housekeeping { queue: self, shards: shards.iter().filter_map(|&shard| self.shards.get(shard)).collect() }
    }

    fn housekeeping_of_all(&self) -> Housekeeping<'_> {
        Housekeeping { queue: self, shards: self.shards.iter().collect() }
    }

    /// Returns the number of shards.
    pub(crate) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Takes, keeps or looks up the housekeeping of a shard, and returns the note of the process that
    /// has it. `seen` is a note that has not changed for too long.
    pub(crate) async fn take_housekeeping(&self, shard: usize, name: &str, seen: &str) -> Result<String, QueueError> {
        let keys = self.shards.get(shard).ok_or_else(|| QueueError::Corrupt(format!("no shard {shard}")))?;
        if seen.is_empty() {
            // All processes of a fleet but one only look, and a plain read is cheaper than a script.
            let look = redis::cmd("HGET").arg(keys.counters()).arg("janitor").to_owned();
            let note: Option<String> = self.redis.command_once(&look).await?;
            if let Some(note) = note.filter(|note| !note.starts_with(name)) {
                return Ok(note);
            }
        }
        let mut script = call(&self.scripts.janitor, keys);
        script.arg(name).arg(seen);
        Ok(self.redis.script_once(&script).await?)
    }

    /// Requeues, or fails, jobs whose lease ran out. After an absence of Redis, leases get time for
    /// a heartbeat instead.
    pub async fn reap(&self) -> Result<Vec<Reaped>, QueueError> {
        Ok(self.housekeeping_of_all().reap().await?.done)
    }

    /// Moves due retries into their streams, and a parked job of a tenant with room; returns how
    /// many.
    pub async fn promote(&self) -> Result<u64, QueueError> {
        Ok(self.housekeeping_of_all().promote().await?.done)
    }

    /// Ends queued jobs whose time in the queue is over.
    pub async fn expire(&self) -> Result<Vec<JobId>, QueueError> {
        Ok(self.housekeeping_of_all().expire().await?.done)
    }

    /// Repairs jobs that fell out of the queue without any script's doing, such as with a deleted
    /// stream. One call checks some of the open jobs, and the next call goes on after them.
    pub async fn reconcile(&self) -> Result<Vec<JobId>, QueueError> {
        self.reconcile_after(RECONCILE_AFTER).await
    }

    /// Repairs jobs like [`Self::reconcile`], if the last check of all began at least `after` ago.
    pub async fn reconcile_after(&self, after: Duration) -> Result<Vec<JobId>, QueueError> {
        Ok(self.housekeeping_of_all().reconcile_after(after).await?.done)
    }

    /// Removes stream consumers that are gone, lapsed reports of workers and outdated dead letters.
    /// Returns the number of consumers.
    pub async fn tidy(&self) -> Result<u64, QueueError> {
        let mut gone = 0;
        for stream in 0..STREAMS {
            gone += self.housekeeping_of_all().tidy(stream).await?;
        }
        Ok(gone)
    }
}

impl Housekeeping<'_> {
    /// Requeues or fails jobs whose lease ran out.
    pub(crate) async fn reap(&self) -> Result<Batch<Vec<Reaped>>, QueueError> {
        let lost = Failure::new(FailureClass::WorkerLost, "the worker stopped renewing its lease");
        let lost = serde_json::to_string(&lost)?;
        let reaped = self.on_each::<Vec<(String, String)>>(&self.queue.scripts.reap, |script| {
            script
                .arg(REAP_LIMIT)
                .arg(MAX_FAILED_ATTEMPTS)
                .arg(&lost)
                .arg(ms(RECORD_TTL))
                .arg(ms(REDIS_ABSENCE_MIN))
                .arg(ms(LEASE_GRACE));
        });
        let reaped = reaped.await?;
        let more = reaped.iter().any(|reaped| reaped.len() >= REAP_LIMIT as usize);
        let read = |(id, state): (String, String)| {
            Ok(Reaped { id: job_id(&id)?, state: state.parse().map_err(QueueError::Corrupt)? })
        };
        let done = reaped.into_iter().flatten().map(read).collect::<Result<_, QueueError>>()?;
        Ok(Batch { done, more })
    }

    /// Moves due retries and a parked job into their streams, and returns how many.
    pub(crate) async fn promote(&self) -> Result<Batch<u64>, QueueError> {
        let tenant_max = self.queue.options.per_shard(self.queue.options.tenant_running_max);
        let moved = self.on_each::<u64>(&self.queue.scripts.promote, |script| {
            script.arg(PROMOTE_LIMIT).arg(tenant_max);
        });
        let moved = moved.await?;
        Ok(Batch { more: moved.iter().any(|&moved| moved >= PROMOTE_LIMIT.into()), done: moved.into_iter().sum() })
    }

    /// Ends queued jobs whose time in the queue is over.
    pub(crate) async fn expire(&self) -> Result<Batch<Vec<JobId>>, QueueError> {
        let expired = self.on_each::<Vec<String>>(&self.queue.scripts.expire, |script| {
            script.arg(EXPIRE_LIMIT).arg(ms(RECORD_TTL));
        });
        let expired = expired.await?;
        let more = expired.iter().any(|expired| expired.len() >= EXPIRE_LIMIT as usize);
        Ok(Batch { done: job_ids(expired.iter().flatten())?, more })
    }

    /// Repairs jobs that fell out of the queue.
    pub(crate) async fn reconcile(&self) -> Result<Batch<Vec<JobId>>, QueueError> {
        self.reconcile_after(RECONCILE_AFTER).await
    }

    async fn reconcile_after(&self, after: Duration) -> Result<Batch<Vec<JobId>>, QueueError> {
        let checked = self.on_each::<(bool, Vec<String>)>(&self.queue.scripts.reconcile, |script| {
            script.arg(RECONCILE_LIMIT).arg(ms(after));
        });
        let checked = checked.await?;
        let more = checked.iter().any(|(more, _)| *more);
        Ok(Batch { done: job_ids(checked.iter().flat_map(|(_, mended)| mended))?, more })
    }

    /// Removes what is outdated beside one of the [`STREAMS`], and returns the number of its
    /// consumers that were removed.
    pub(crate) async fn tidy(&self, stream: usize) -> Result<u64, QueueError> {
        let stream = Lane::ALL.get(stream).map_or(SUSPECTS, |lane| lane.name());
        let gone = self.on_each::<u64>(&self.queue.scripts.tidy, |script| {
            script.arg(stream).arg(ms(CONSUMER_IDLE)).arg(PLACES_LIMIT);
        });
        Ok(gone.await?.into_iter().sum())
    }

    /// Runs a script on every shard. A shard that is out of reach does not keep the others from it.
    /// Its fault is logged, and returned only if no shard did anything.
    async fn on_each<T: FromRedisValue>(
        &self,
        script: &Script,
        arguments: impl Fn(&mut ScriptInvocation<'_>),
    ) -> Result<Vec<T>, QueueError> {
        let (mut done, mut fault) = (Vec::new(), None);
        for keys in &self.shards {
            let mut script = call(script, keys);
            arguments(&mut script);
            match self.queue.redis.script_once(&script).await {
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

fn job_ids<'a>(ids: impl Iterator<Item = &'a String>) -> Result<Vec<JobId>, QueueError> {
    ids.map(|id| job_id(id)).collect()
}
