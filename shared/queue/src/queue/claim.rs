//! The worker's side: take one job, with a lease on it.

use std::time::Duration;

use uuid::Uuid;

use super::PROMOTE_LIMIT;
use super::job_hash::job_id;
use super::lease::{Lease, WorkerId};
use super::script::call;
use super::{LEASE, Queue, QueueError, RECORD_TTL, ms};
use csm_shared::job::{Failure, FailureClass, JobId, JobSpec, wire};

/// Entries of ended jobs that one run of the script may clear away, so that no run takes long.
const SCAN_LIMIT: u32 = 64;
/// How long a job that this build cannot read waits for one that can.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(10);
/// How long a worker that was told to hold waits at the most before it asks again.
pub const HOLD_PAUSE: Duration = Duration::from_millis(500);
/// How long a worker that empties itself for suspects keeps others from doing the same without asking again: one that has
/// died must not hold up the suspects for as long as a lease.
const WARDEN: Duration = HOLD_PAUSE.saturating_mul(3);
/// How much sooner another must be empty to do it in its place.
const SOONER: Duration = Duration::from_secs(1);

/// What a worker has and runs, which decides what it may take.
#[derive(Clone, Copy, Debug)]
pub struct WorkerCapacity {
    /// Jobs that it can run at once.
    pub slots: u8,
    /// Jobs that it runs.
    pub running: u8,
    /// Those of the bulk lane among them.
    pub bulk: u8,
    /// How long until the last of them will likely have ended.
    pub busy_for: Duration,
    /// Slots that bulk jobs may not take, so that whoever listens need not wait for one of them to end.
    pub reserve: u8,
}

impl WorkerCapacity {
    /// A worker of `slots` slots that runs nothing and keeps none back.
    #[must_use]
    pub const fn empty(slots: u8) -> Self {
        Self { slots, running: 0, bulk: 0, busy_for: Duration::ZERO, reserve: 0 }
    }

    /// Whether one more job may be of the bulk lane. A worker of one slot has none to keep back.
    #[must_use]
    pub const fn accepts_bulk(&self) -> bool {
        let reserve = if self.reserve < self.slots { self.reserve } else { self.slots.saturating_sub(1) };
        self.bulk < self.slots - reserve
    }
}

/// What a claim brought.
#[derive(Debug)]
pub enum Claim {
    /// A job to run.
    Job(Box<Claimed>),
    /// A job whose time in the queue was over; it has ended, which its followers should hear.
    Expired(JobId),
    /// There is nothing to take.
    Nothing,
    /// Suspects wait, and this worker is to take nothing until it runs nothing, and to ask again every [`HOLD_PAUSE`].
    Hold,
}

/// A claimed job.
#[derive(Debug)]
pub struct Claimed {
    /// The right to run it.
    pub lease: Lease,
    /// What to say.
    pub spec: JobSpec,
    /// From acceptance to this claim.
    pub waited: Duration,
    /// A worker died with it: nothing may run beside it.
    pub alone: bool,
}

/// What a claim brought from one shard.
enum ShardClaim {
    Took(Claim),
    Empty,
    /// Suspects wait there, and this worker is to empty itself for them.
    Hold,
}

/// Answer of the script: verdict, id, attempt, payload, waited ms, alone.
type Answer = Option<Vec<Option<String>>>;

/// One worker's way to its jobs. A worker has one: the queue remembers the last claim of each, so that a job whose claim was
/// not answered is not left without anybody who runs it.
pub struct Claimer {
    queue: Queue,
    worker_id: WorkerId,
    build: String,
    /// The shard to begin with.
    first: usize,
    /// By shard: the claim that was made there and not answered.
    pub(super) unanswered: Vec<Option<Uuid>>,
}

impl Queue {
    /// The way to jobs of a worker, whose build dead letters name.
    #[must_use]
    pub fn claimer(&self, worker_id: &WorkerId, build: &str) -> Claimer {
        let unanswered = vec![None; self.shards.len()];
        Claimer { queue: self.clone(), worker_id: worker_id.clone(), build: build.to_owned(), first: 0, unanswered }
    }
}

impl Claimer {
    /// Takes the job whose turn it is, if there is one. Never waits. A job whose payload cannot be read is given back,
    /// for a worker of another build; after as many tries as any job has it is a dead letter.
    ///
    /// Should the answer be lost on the way, the next call asks for it again. Only a worker that never does leaves a job to
    /// the reaper.
    pub async fn claim(&mut self, capacity: WorkerCapacity) -> Result<Claim, QueueError> {
        // A shard out of reach does not keep the others' jobs from being claimed.
        let mut fault = None;
        let shards = self.unanswered.len();
        for shard in (self.first..self.first + shards).map(|shard| shard % shards) {
            match self.claim_from(shard, capacity).await {
                Ok(ShardClaim::Took(claim)) => {
                    self.first = shard + 1;
                    return Ok(claim);
                }
                Ok(ShardClaim::Empty) => {}
                // The next call begins here, and so sees first whether the worker is idle enough.
                Ok(ShardClaim::Hold) => {
                    self.first = shard;
                    return Ok(Claim::Hold);
                }
                Err(error) => fault = Some(error),
            }
        }
        fault.map_or(Ok(Claim::Nothing), Err)
    }

    /// Has the next claim begin with a shard, in which there may be something.
    pub fn begin_with(&mut self, shard: usize) {
        self.first = shard;
    }

    async fn claim_from(&mut self, shard: usize, capacity: WorkerCapacity) -> Result<ShardClaim, QueueError> {
        loop {
            let repeated = self.unanswered[shard];
            let number = *self.unanswered[shard].insert(repeated.unwrap_or_else(Uuid::new_v4));
            let mut script = call(&self.queue.scripts.claim, &self.queue.shards[shard]);
            script
                .arg(self.worker_id.as_str())
                .arg(&self.build)
                .arg(ms(LEASE))
                .arg(SCAN_LIMIT)
                .arg(PROMOTE_LIMIT)
                .arg(u8::from(capacity.running == 0))
                .arg(u8::from(capacity.accepts_bulk()))
                .arg(self.queue.options.per_shard(self.queue.options.tenant_running_max))
                .arg(ms(WARDEN))
                .arg(ms(RECORD_TTL))
                .arg(number.simple().to_string())
                .arg(u8::from(repeated.is_some()))
                .arg(ms(capacity.busy_for))
                .arg(ms(SOONER));
            let answer: Answer = self.queue.redis.script_once(&script).await?;
            self.unanswered[shard] = None;
            let Some(answer) = answer else { return Ok(ShardClaim::Empty) };
            let field = |index: usize| answer.get(index).cloned().flatten().unwrap_or_default();
            match field(0).as_str() {
                // Nothing but entries of ended jobs so far. Each round clears some away, so the loop ends.
                "again" => {}
                "hold" => return Ok(ShardClaim::Hold),
                "expired" => return Ok(ShardClaim::Took(Claim::Expired(job_id(&field(1))?))),
                "job" => {
                    let number = |index: usize| {
                        field(index)
                            .parse::<u64>()
                            .map_err(|_| QueueError::Corrupt(format!("claim answered {answer:?}")))
                    };
                    let lease = Lease::new(self.queue.clone(), job_id(&field(1))?, self.worker_id.clone(), number(2)?);
                    let waited = Duration::from_millis(number(4)?);
                    return claimed(lease, &field(3), waited, field(5) == "1").await.map(ShardClaim::Took);
                }
                _ => return Err(QueueError::Corrupt(format!("claim answered {answer:?}"))),
            }
        }
    }
}

async fn claimed(lease: Lease, payload: &str, waited: Duration, alone: bool) -> Result<Claim, QueueError> {
    match wire::decode(payload) {
        Ok(spec) => Ok(Claim::Job(Box::new(Claimed { lease, spec, waited, alone }))),
        Err(error) => {
            tracing::error!(job = %lease.at().id, error = %error, "cannot read job payload, returning job");
            let failure = Failure::new(FailureClass::Resource, "this build of the worker cannot read the job");
            lease.retry(&failure, UNREADABLE_PAUSE).await?;
            Err(error.into())
        }
    }
}

