//! The caller's side: put a job in, ask about it, call it off.

use super::{LANE_DEPTH_MAX, Queue, QueueError, RECORD_TTL};
use crate::job::{JobId, JobRecord, JobSpec, JobState, wire};

/// How many waiting jobs are counted before "at least that many" is answered.
const AHEAD_MAX: u64 = 1_000;

/// What became of an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueue {
    /// The job is now queued.
    Accepted,
    /// A job of this id was there already, in this state; nothing changed.
    Exists(JobState),
}

/// What became of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It had not begun and now never will, or it was cancelled before.
    Cancelled,
    /// It is running; its worker learns of it at the next beat, or sooner by the live channel.
    Cancelling,
    /// It had already reached this other final state.
    AlreadyFinal(JobState),
    /// No such job.
    Missing,
}

impl Queue {
    /// Accepts a job, or says that it was there. Safe to repeat after a lost answer.
    pub async fn enqueue(&self, id: &JobId, spec: &JobSpec) -> Result<Enqueue, QueueError> {
        let mut script = self.scripts.enqueue.key(self.keys.for_scripts().as_slice());
        script
            .arg(id.to_string())
            .arg(spec.lane.name())
            .arg(wire::encode(spec)?)
            .arg(spec.budget.frames())
            .arg(LANE_DEPTH_MAX);
        let (verdict, detail): (String, String) = self.redis.script(&script).await?;
        match verdict.as_str() {
            "accepted" => Ok(Enqueue::Accepted),
            "exists" => Ok(Enqueue::Exists(detail.parse().map_err(QueueError::Corrupt)?)),
            _ => {
                let depth = detail.parse().unwrap_or(LANE_DEPTH_MAX);
                Err(QueueError::Full { lane: spec.lane, depth, limit: LANE_DEPTH_MAX })
            }
        }
    }

    /// The job's record, while it is kept.
    pub async fn record(&self, id: &JobId) -> Result<Option<JobRecord>, QueueError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.job(id)).arg(&super::record::FIELDS);
        let fields = self.redis.command(&command).await?;
        super::record::read(id, fields)
    }

    /// Jobs of its lane that a queued job still waits behind, counted up to a thousand; `None` when it is not waiting.
    pub async fn ahead(&self, id: &JobId) -> Result<Option<u64>, QueueError> {
        let mut script = self.scripts.ahead.key(self.keys.for_scripts().as_slice());
        script.arg(id.to_string()).arg(AHEAD_MAX);
        let ahead: i64 = self.redis.script(&script).await?;
        Ok(u64::try_from(ahead).ok())
    }

    /// Calls a job off. Repeating it is harmless.
    pub async fn cancel(&self, id: &JobId) -> Result<Cancel, QueueError> {
        let mut script = self.scripts.cancel.key(self.keys.for_scripts().as_slice());
        script.arg(id.to_string()).arg(RECORD_TTL.as_millis() as u64);
        let verdict: String = self.redis.script(&script).await?;
        match verdict.as_str() {
            "missing" => Ok(Cancel::Missing),
            "cancelled" => Ok(Cancel::Cancelled),
            "cancelling" => Ok(Cancel::Cancelling),
            state => Ok(Cancel::AlreadyFinal(state.parse().map_err(QueueError::Corrupt)?)),
        }
    }
}
