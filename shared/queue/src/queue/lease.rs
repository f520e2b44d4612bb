//! A worker's right to run one attempt. Every way to end a lease consumes it, and every write is
//! fenced by (owner, attempt).

use std::fmt;
use std::time::Duration;

use redis::ScriptInvocation;
use uuid::Uuid;

use super::script::call;
use super::{MAX_FAILED_ATTEMPTS, Queue, QueueError, RECORD_TTL, ms};
use csm_shared::job::{Failure, JobId, JobState, Receipt};

/// Name of a worker process: `<host>:<boot uuid>`. Each start has a new name, so that no process
/// inherits a dead one's leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerId(String);

impl WorkerId {
    /// Creates the name of this process.
    #[must_use]
    pub fn of_this_process(host: &str) -> Self {
        Self(format!("{host}:{}", Uuid::new_v4().simple()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns eight digits that tell this process from others in the name of a file.
    #[must_use]
    pub fn tag(&self) -> &str {
        let boot = self.0.rsplit(':').next().unwrap_or_default();
        boot.get(..8).unwrap_or(boot)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Outcome of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The lease is renewed.
    Kept,
    /// The lease is renewed, and the caller wants the job cancelled.
    CancelRequested,
    /// The lease is renewed, and the caller's deadline is over.
    Late,
    /// The lease is lost: another worker has the job, the job waits again, or it has ended.
    Lost,
}

/// Outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The commit is the job's final state.
    Committed,
    /// The caller had cancelled; the result was not taken.
    Cancelled,
    /// The lease had been lost; nothing was written.
    Stale,
}

/// Outcome of a retry or a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The job waits again.
    Queued,
    /// Too many attempts have failed.
    Failed,
    /// The caller had cancelled.
    Cancelled,
    /// The lease had been lost; nothing was written.
    Stale,
}

/// Right to run one attempt of a job, until it is spent or runs out.
pub struct Lease {
    queue: Queue,
    at: LeaseRef,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

/// Fence of a lease: enough for a heartbeat, not enough to end the lease.
#[derive(Clone, Debug)]
pub struct LeaseRef {
    /// Id of the job.
    pub id: JobId,
    /// Number of the claim.
    pub attempt: u64,
    worker_id: WorkerId,
}

impl LeaseRef {
    /// Makes the reference of an attempt at a job that is in no queue: there is no lease to lose.
    #[must_use]
    pub const fn outside_a_queue(id: JobId, attempt: u64, worker_id: WorkerId) -> Self {
        Self { id, attempt, worker_id }
    }

    /// Returns the worker that holds the lease.
    #[must_use]
    pub const fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }
}

impl Lease {
    pub(super) const fn new(queue: Queue, id: JobId, worker_id: WorkerId, attempt: u64) -> Self {
        Self { queue, at: LeaseRef { id, attempt, worker_id } }
    }

    /// Returns the fence, for the task that sends heartbeats.
    #[must_use]
    pub const fn at(&self) -> &LeaseRef {
        &self.at
    }

    /// Commits a result.
    pub async fn succeed(self, receipt: &Receipt) -> Result<Commit, QueueError> {
        let reason = receipt.finish_reason.into();
        self.finish(JobState::Succeeded, "receipt", serde_json::to_string(receipt)?, reason).await
    }

    /// Ends the job as failed, whatever attempts are left.
    pub async fn fail(self, failure: &Failure) -> Result<Commit, QueueError> {
        self.finish(JobState::Failed, "failure", serde_json::to_string(failure)?, "").await
    }

    /// Ends the job as cancelled.
    pub async fn cancelled(self) -> Result<Commit, QueueError> {
        self.finish(JobState::Cancelled, "", String::new(), "").await
    }

    /// Gives the job back after a failed attempt, to be tried again after `delay`.
    pub async fn retry(self, failure: &Failure, delay: Duration) -> Result<Retry, QueueError> {
        self.again(failure, delay, false).await
    }

    /// Gives the job back because this worker is about to end, for a reason that may be any of its
    /// jobs. The job runs again with nothing beside it. The attempt counts against the job only if
    /// nothing ran beside it now.
    pub async fn suspect(self, failure: &Failure) -> Result<Retry, QueueError> {
        self.again(failure, Duration::ZERO, true).await
    }

    async fn again(self, failure: &Failure, delay: Duration, suspect: bool) -> Result<Retry, QueueError> {
        let mut script = self.fenced(&self.queue.scripts.retry);
        script
            .arg(serde_json::to_string(failure)?)
            .arg(ms(delay))
            .arg(MAX_FAILED_ATTEMPTS)
            .arg(u8::from(suspect))
            .arg(ms(RECORD_TTL));
        self.requeued(script).await
    }

    /// Gives the job back without counting the attempt as failed, because this worker drains.
    pub async fn release(self) -> Result<Retry, QueueError> {
        self.release_after(Duration::ZERO).await
    }

    /// Gives the job back without counting the attempt as failed, because a part that all jobs
    /// share is out of order. The job is tried again after `delay`.
    pub async fn release_after(self, delay: Duration) -> Result<Retry, QueueError> {
        let mut script = self.fenced(&self.queue.scripts.release);
        script.arg(ms(delay)).arg(ms(RECORD_TTL));
        self.requeued(script).await
    }

    async fn finish(self, state: JobState, field: &str, value: String, reason: &str) -> Result<Commit, QueueError> {
        let mut script = self.fenced(&self.queue.scripts.finish);
        script.arg(state.name()).arg(field).arg(value).arg(ms(RECORD_TTL)).arg(reason);
        let verdict: String = self.queue.redis.script(&script).await?;
        match verdict.as_str() {
            "committed" => Ok(Commit::Committed),
            "cancelled" => Ok(Commit::Cancelled),
            "stale" => Ok(Commit::Stale),
            other => Err(QueueError::Corrupt(format!("finish answered {other:?}"))),
        }
    }

    async fn requeued(&self, script: ScriptInvocation<'_>) -> Result<Retry, QueueError> {
        let verdict: String = self.queue.redis.script(&script).await?;
        match verdict.as_str() {
            "queued" => Ok(Retry::Queued),
            "failed" => Ok(Retry::Failed),
            "cancelled" => Ok(Retry::Cancelled),
            "stale" => Ok(Retry::Stale),
            other => Err(QueueError::Corrupt(format!("retry answered {other:?}"))),
        }
    }

    fn fenced<'a>(&self, script: &'a redis::Script) -> ScriptInvocation<'a> {
        self.queue.fenced(script, &self.at)
    }
}

impl Queue {
    /// Returns the channel on which a running job's worker learns of a cancel.
    #[must_use]
    pub fn cancel_channel(&self, at: &LeaseRef) -> String {
        self.shard_of(&at.id).cancel_channel(&at.id)
    }

    /// Renews a lease until `good_for` from now. The caller chooses the end: [`super::LEASE`] after
    /// the attempt's last sign of progress.
    pub async fn beat(&self, at: &LeaseRef, good_for: Duration) -> Result<Beat, QueueError> {
        let mut script = self.fenced(&self.scripts.beat, at);
        script.arg(ms(good_for));
        let verdict: String = self.redis.script_once(&script).await?;
        match verdict.as_str() {
            "kept" => Ok(Beat::Kept),
            "cancel" => Ok(Beat::CancelRequested),
            "late" => Ok(Beat::Late),
            "lost" => Ok(Beat::Lost),
            other => Err(QueueError::Corrupt(format!("beat answered {other:?}"))),
        }
    }

    fn fenced<'a>(&self, script: &'a redis::Script, at: &LeaseRef) -> ScriptInvocation<'a> {
        let mut invocation = call(script, self.shard_of(&at.id));
        invocation.arg(at.id.to_string()).arg(at.worker_id.as_str()).arg(at.attempt);
        invocation
    }
}
