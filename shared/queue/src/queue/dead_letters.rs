//! Jobs that were given up. An operator reads them, replays them as new jobs, or deletes them.

use jiff::Timestamp;
use redis::streams::StreamRangeReply;
use serde::Serialize;

use super::job_hash::job_id;
use super::script::call;
use super::{Queue, QueueError};
use csm_shared::job::JobId;

/// Letters that one command reads. `DEAD_LETTERS_MAX` of `prelude.lua` bounds those of a shard.
const PAGE: usize = 500;

/// A failed job whose request was not at fault, as its last attempt left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Id of the job.
    pub id: String,
    /// Time at which the job was given up.
    pub at: Timestamp,
    /// Class of the last failure, as in [`csm_shared::job::FailureClass`].
    pub class: String,
    /// Message of the last failure.
    pub error: String,
    /// The job's lane.
    pub lane: String,
    /// Tenant of the job.
    pub tenant: String,
    /// Number of claims.
    pub attempt: u64,
    /// Attempts that failed by themselves.
    pub failures: u64,
    /// Attempts whose worker was lost while it ran nothing else.
    pub crashes: u64,
    /// The last worker.
    pub worker: String,
    /// Build of the last worker.
    pub build: String,
}

/// Choice among the dead letters; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Class of the last failure.
    pub class: Option<String>,
    /// Message of the last failure, as a whole.
    pub error: Option<String>,
    /// Latest time at which the job was given up.
    pub until: Option<Timestamp>,
}

impl LetterFilter {
    /// Returns whether a letter is of the choice.
    #[must_use]
    pub fn matches(&self, letter: &DeadLetter) -> bool {
        self.class.as_ref().is_none_or(|class| *class == letter.class)
            && self.error.as_ref().is_none_or(|error| *error == letter.error)
            && self.until.is_none_or(|until| letter.at <= until)
    }
}

impl Queue {
    /// Returns the oldest dead letters, up to `limit` from each shard.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let mut letters = Vec::new();
        for keys in &*self.shards {
            let mut range = redis::cmd("XRANGE");
            range.arg(keys.dead_letters()).arg("-").arg("+").arg("COUNT").arg(limit);
            let reply: StreamRangeReply = self.redis.command(&range).await?;
            for entry in reply.ids {
                letters.push(letter(&entry)?);
            }
        }
        letters.sort_by_key(|letter| letter.at);
        Ok(letters)
    }

    /// Returns the number of dead letters.
    pub async fn dead_letter_count(&self) -> Result<u64, QueueError> {
        let mut count = 0;
        for keys in &*self.shards {
            let mut length = redis::cmd("XLEN");
            count += self.redis.command::<u64>(length.arg(keys.dead_letters())).await?;
        }
        Ok(count)
    }

    /// Returns the newest dead letters of all shards together, newest first.
    pub async fn newest_dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let mut letters = Vec::new();
        for keys in &*self.shards {
            let mut range = redis::cmd("XREVRANGE");
            range.arg(keys.dead_letters()).arg("+").arg("-").arg("COUNT").arg(limit);
            let reply: StreamRangeReply = self.redis.command(&range).await?;
            for entry in reply.ids {
                letters.push(letter(&entry)?);
            }
        }
        letters.sort_by_key(|letter| std::cmp::Reverse(letter.at));
        letters.truncate(limit);
        Ok(letters)
    }

    /// Returns the jobs of all chosen dead letters that are there now, oldest first, each with the time
    /// at which it was given up. Reads [`PAGE`] letters at a time.
    pub async fn dead_letter_jobs(&self, filter: &LetterFilter) -> Result<Vec<(Timestamp, JobId)>, QueueError> {
        let mut found = Vec::new();
        for keys in &*self.shards {
            let mut from = "-".to_owned();
            loop {
                let mut range = redis::cmd("XRANGE");
                range.arg(keys.dead_letters()).arg(&from).arg("+").arg("COUNT").arg(PAGE);
                let reply: StreamRangeReply = self.redis.command(&range).await?;
                let Some(last) = reply.ids.last() else { break };
                from = format!("({}", last.id);
                for entry in &reply.ids {
                    let letter = letter(entry)?;
                    if filter.matches(&letter) {
                        found.push((letter.at, job_id(&letter.id)?));
                    }
                }
            }
        }
        found.sort_by_key(|(at, _)| *at);
        Ok(found)
    }

    /// Returns the dead letter of a job.
    pub async fn dead_letter(&self, id: &JobId) -> Result<Option<DeadLetter>, QueueError> {
        let keys = self.shard_of(id);
        let mut get = redis::cmd("HGET");
        let entry: Option<String> = self.redis.command(get.arg(keys.job(id)).arg("dead")).await?;
        let Some(entry) = entry else { return Ok(None) };
        let mut range = redis::cmd("XRANGE");
        let reply: StreamRangeReply =
            self.redis.command(range.arg(keys.dead_letters()).arg(&entry).arg(&entry)).await?;
        reply.ids.first().map(letter).transpose()
    }

    /// Makes a dead letter into a new job of the same request, and returns the new id. The old job
    /// stays failed and names the new one. Returns `None` if the job is no dead letter. Repeating
    /// the call returns the same new job.
    pub async fn replay(&self, id: &JobId) -> Result<Option<JobId>, QueueError> {
        let new = self.id_beside(id);
        let mut script = call(&self.scripts.replay, self.shard_of(id));
        script.arg(id.to_string()).arg(new.to_string());
        let made: String = self.redis.script(&script).await?;
        if made.is_empty() { Ok(None) } else { job_id(&made).map(Some) }
    }

    /// Deletes a dead letter and its payload. Returns false if the job is no dead letter.
    pub async fn purge(&self, id: &JobId) -> Result<bool, QueueError> {
        let mut script = call(&self.scripts.purge, self.shard_of(id));
        script.arg(id.to_string());
        Ok(self.redis.script::<u64>(&script).await? > 0)
    }

    /// Generates a new id on the same shard.
    fn id_beside(&self, id: &JobId) -> JobId {
        let shards = self.shards.len() as u16;
        std::iter::repeat_with(JobId::generate).find(|new| new.spread(shards) == id.spread(shards)).unwrap_or(*id)
    }
}

fn letter(entry: &redis::streams::StreamId) -> Result<DeadLetter, QueueError> {
    let corrupt = |what: &str| QueueError::Corrupt(format!("dead letter {}: {what}", entry.id));
    let text = |name: &str| entry.get::<String>(name).ok_or_else(|| corrupt(name));
    let number = |name: &str| entry.get::<u64>(name).ok_or_else(|| corrupt(name));
    let at = entry.id.split('-').next().and_then(|ms| ms.parse().ok());
    Ok(DeadLetter {
        id: text("id")?,
        at: at.and_then(|ms| Timestamp::from_millisecond(ms).ok()).ok_or_else(|| corrupt("time"))?,
        class: text("class")?,
        error: text("error")?,
        lane: text("lane")?,
        tenant: text("tenant")?,
        attempt: number("attempt")?,
        failures: number("failures")?,
        crashes: number("crashes")?,
        worker: text("worker")?,
        build: text("build")?,
    })
}
