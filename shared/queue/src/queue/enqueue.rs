//! The caller's side: enqueue a job, read its record, cancel it.

use std::time::Duration;

use super::redis_keys::RedisKeys;
use super::script::call;
use super::ticket::{Durability, Ticket};
use super::{LANE_DEPTH_MAX, Queue, QueueError, RECORD_TTL, ms};
use csm_shared::job::{JobId, JobRecord, JobSpec, JobState, wire};

/// Longest wait for the disk of Redis. With a sync every second, a write may take two seconds.
const FSYNC_LIMIT: Duration = Duration::from_secs(5);

/// Time for which a forgotten job still answers how it ended: longer than a worker repeats a commit.
const FORGET_AFTER: Duration = Duration::from_secs(45);

/// Outcome of an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueue {
    /// The job is now queued.
    Accepted {
        /// Predicted wait; `None` while no worker has reported its rate.
        wait: Option<Duration>,
    },
    /// The job is now queued, in a lane that an operator has paused. When it begins is unknown.
    Paused,
    /// A job of this id and request existed already, in this state; nothing changed.
    Exists(JobState),
}

/// Outcome of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The job had not begun and now never will, or was cancelled before.
    Cancelled,
    /// The job is running. Its worker learns of the request at the next heartbeat, or sooner by a
    /// message.
    Cancelling,
    /// The job had already reached this other final state.
    AlreadyFinal(JobState),
    /// There is no such job.
    Missing,
}

impl Queue {
    /// Accepts a job, or tells that it existed already. Safe to repeat after a lost answer.
    pub async fn enqueue(&self, ticket: &Ticket, spec: &JobSpec) -> Result<Enqueue, QueueError> {
        self.agree().await?;
        let keys = self.shard_of(&ticket.id);
        let (tenant_max, wait_max) =
            (self.options.per_shard(self.options.tenant_open_max), self.options.wait_max(spec.lane));
        let [lane_bytes_max, tenant_bytes_max] =
            [self.options.lane_bytes_max, self.options.tenant_bytes_max].map(|bound| self.options.per_shard(bound));
        let warnings = match ticket.warnings.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&ticket.warnings)?,
        };
        let mut script = call(&self.scripts.enqueue, keys);
        script
            .arg(ticket.id.to_string())
            .arg(spec.lane.name())
            .arg(wire::encode(spec)?)
            .arg(spec.budget.frames())
            .arg(spec.expected_cost())
            .arg(spec.cost_kind())
            .arg(ticket.tenant.as_str())
            .arg(&ticket.fingerprint)
            .arg(ticket.expires_in.map_or(0, ms))
            .arg(ticket.deadline.map_or(0, |deadline| deadline.as_millisecond().max(1)))
            .arg(LANE_DEPTH_MAX)
            .arg(tenant_max)
            .arg(ms(wait_max))
            .arg(lane_bytes_max)
            .arg(tenant_bytes_max)
            .arg(self.tenant_rate_max())
            .arg(self.model())
            .arg(warnings);
        let answer: (String, String, String) = match ticket.durability {
            Durability::Default => self.redis.script(&script).await?,
            Durability::Fsync => Box::pin(self.redis.script_fsynced(&script, FSYNC_LIMIT)).await?,
        };
        let number = |text: &str| text.parse().map_err(|_| QueueError::Corrupt(format!("enqueue answered {text:?}")));
        let (verdict, detail, bound) = (answer.0.as_str(), answer.1.as_str(), answer.2.as_str());
        match verdict {
            "accepted" if detail.is_empty() => Ok(Enqueue::Accepted { wait: None }),
            "accepted" => Ok(Enqueue::Accepted { wait: Some(Duration::from_millis(number(detail)?)) }),
            "paused" => Ok(Enqueue::Paused),
            "exists" => Ok(Enqueue::Exists(detail.parse().map_err(QueueError::Corrupt)?)),
            "conflict" => Err(QueueError::Conflict(ticket.id)),
            "closed" => Err(QueueError::Closed),
            "full" => Err(QueueError::Full { lane: spec.lane, depth: number(detail)?, limit: LANE_DEPTH_MAX }),
            "tenant" => {
                Err(QueueError::TenantFull { tenant: ticket.tenant.clone(), open: number(detail)?, limit: tenant_max })
            }
            "lane_bytes" => {
                Err(QueueError::LaneBytesFull { lane: spec.lane, bytes: number(detail)?, limit: lane_bytes_max })
            }
            "tenant_bytes" => Err(QueueError::TenantBytesFull {
                tenant: ticket.tenant.clone(),
                bytes: number(detail)?,
                limit: tenant_bytes_max,
            }),
            "rate" => Err(QueueError::TenantRate {
                tenant: ticket.tenant.clone(),
                limit: self.options.tenant_rate_max,
                pause: Duration::from_millis(number(detail)?),
            }),
            "late" => Err(QueueError::TooLate { lane: spec.lane, wait: Duration::from_millis(number(detail)?) }),
            "busy" => Err(QueueError::Busy {
                lane: spec.lane,
                wait: Duration::from_millis(number(detail)?),
                limit: Duration::from_millis(number(bound)?),
            }),
            other => Err(QueueError::Corrupt(format!("enqueue answered {other:?}"))),
        }
    }

    /// Returns the jobs that a tenant may create and cancel in a minute on one shard.
    fn tenant_rate_max(&self) -> u64 {
        self.options.per_shard(self.options.tenant_rate_max)
    }

    /// Returns the job's record, while it is kept.
    pub async fn record(&self, id: &JobId) -> Result<Option<JobRecord>, QueueError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.shard_of(id).job(id)).arg(&super::job_hash::FIELDS);
        let fields = self.redis.command(&command).await?;
        super::job_hash::read(id, fields)
    }

    /// Returns the states of jobs, in their order; `None` for a job without a record. One round trip for
    /// each shard.
    pub async fn states(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, QueueError> {
        let mut states = vec![None; ids.len()];
        for (keys, places) in self.by_shard(ids) {
            let mut read = redis::pipe();
            for &place in &places {
                read.cmd("HGET").arg(keys.job(&ids[place])).arg("state");
            }
            let answers: Vec<Option<String>> = self.redis.pipeline(&read).await?;
            for (place, answer) in places.into_iter().zip(answers) {
                states[place] = answer.map(|state| state.parse().map_err(QueueError::Corrupt)).transpose()?;
            }
        }
        Ok(states)
    }

    /// Drops receipts and requests of ended jobs, which their caller has noted elsewhere. The rest of the
    /// records follows after [`FORGET_AFTER`]. Failed jobs and open ones are passed over. Returns the
    /// number of jobs.
    pub async fn forget(&self, ids: &[JobId]) -> Result<u64, QueueError> {
        let mut forgotten = 0;
        for (keys, places) in self.by_shard(ids) {
            let mut script = call(&self.scripts.forget, keys);
            script.arg(ms(FORGET_AFTER));
            for place in places {
                script.arg(ids[place].to_string());
            }
            forgotten += self.redis.script::<u64>(&script).await?;
        }
        Ok(forgotten)
    }

    /// Returns the shards that jobs live on, each with the places of its jobs.
    fn by_shard(&self, ids: &[JobId]) -> Vec<(&RedisKeys, Vec<usize>)> {
        let mut places = vec![Vec::new(); self.shards.len()];
        for (place, id) in ids.iter().enumerate() {
            places[usize::from(id.spread(self.shards.len() as u16))].push(place);
        }
        self.shards.iter().zip(places).filter(|(_, places)| !places.is_empty()).collect()
    }

    /// Counts the jobs of its stream that a queued job still waits behind, in the same time however
    /// many there are. Returns `None` if the job does not wait in a stream.
    pub async fn ahead(&self, id: &JobId) -> Result<Option<u64>, QueueError> {
        let mut script = call(&self.scripts.ahead, self.shard_of(id));
        script.arg(id.to_string());
        let ahead: i64 = self.redis.script(&script).await?;
        Ok(u64::try_from(ahead).ok())
    }

    /// Cancels a job. Repeating it is harmless.
    pub async fn cancel(&self, id: &JobId) -> Result<Cancel, QueueError> {
        let mut script = call(&self.scripts.cancel, self.shard_of(id));
        script.arg(id.to_string()).arg(ms(RECORD_TTL)).arg(self.tenant_rate_max());
        let verdict: String = self.redis.script(&script).await?;
        match verdict.as_str() {
            "missing" => Ok(Cancel::Missing),
            "cancelled" => Ok(Cancel::Cancelled),
            "cancelling" => Ok(Cancel::Cancelling),
            state => Ok(Cancel::AlreadyFinal(state.parse().map_err(QueueError::Corrupt)?)),
        }
    }
}
