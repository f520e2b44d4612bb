//! The worker's side: claim one job, with a lease on it.

use std::time::Duration;

use uuid::Uuid;

use super::PROMOTE_LIMIT;
use super::job_hash::job_id;
use super::lease::{Lease, WorkerId};
use super::script::call;
use super::{LEASE, Queue, QueueError, RECORD_TTL, ms};
use csm_shared::job::{Failure, FailureClass, JobId, JobSpec, Lane, wire};

/// Entries of ended jobs that one run of the script may remove, so that no run takes long.
const SCAN_LIMIT: u32 = 64;
/// Delay of a job that this build cannot read, until another build may try it.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause of a worker that was told to hold, before it asks again.
pub const HOLD_PAUSE: Duration = Duration::from_millis(500);
/// Time for which a worker that empties itself for suspects, the warden, keeps this role without
/// asking again. A dead warden must not hold up the suspects for as long as a lease.
const WARDEN: Duration = HOLD_PAUSE.saturating_mul(3);
/// Time by which another worker must be idle sooner to become the warden instead.
const SOONER: Duration = Duration::from_secs(1);

/// Slots and running jobs of a worker, which decide what it may claim.
#[derive(Clone, Copy, Debug)]
pub struct WorkerCapacity {
    /// Jobs that the worker can run at once.
    pub slots: u8,
    /// Jobs that the worker runs now.
    pub running: u8,
    /// Running jobs of the standard lane.
    pub standard: u8,
    /// Running jobs of the bulk lane.
    pub bulk: u8,
    /// Time until the last running job will likely have ended.
    pub busy_for: Duration,
    /// Slots that only live jobs may take, so that a live job need not wait for another to end.
    pub live_reserve: u8,
    /// Slots beside the live reserve that bulk jobs may not take, so that a standard job need not
    /// wait for a bulk job to end.
    pub reserve: u8,
    /// True if the worker takes bulk jobs, and suspects, and nothing else.
    pub bulk_only: bool,
}

impl WorkerCapacity {
    /// Returns the capacity of a worker of `slots` slots that runs nothing and reserves nothing.
    #[must_use]
    pub const fn empty(slots: u8) -> Self {
        Self {
            slots,
            running: 0,
            standard: 0,
            bulk: 0,
            busy_for: Duration::ZERO,
            live_reserve: 0,
            reserve: 0,
            bulk_only: false,
        }
    }

    /// Returns the slots that jobs of each lane may take, most urgent lane first. Every lane that the
    /// worker serves has at least one, so a worker of one slot reserves none.
    #[must_use]
    pub const fn lane_slots(&self) -> [u8; Lane::ALL.len()] {
        if self.bulk_only {
            return [0, 0, self.slots];
        }
        let others = self.slots.saturating_sub(1);
        let live = if self.live_reserve < others { self.live_reserve } else { others };
        let both = live.saturating_add(self.reserve);
        let both = if both < others { both } else { others };
        [self.slots, self.slots - live, self.slots - both]
    }

    /// Returns whether one more job may be of the standard lane.
    #[must_use]
    pub const fn accepts_standard(&self) -> bool {
        !self.bulk_only && (self.live_reserve == 0 || self.standard.saturating_add(self.bulk) < self.lane_slots()[1])
    }

    /// Returns whether one more job may be of the bulk lane.
    #[must_use]
    pub const fn accepts_bulk(&self) -> bool {
        (self.bulk_only || self.accepts_standard()) && self.bulk < self.lane_slots()[2]
    }

    /// Returns whether one more job may be of a lane.
    #[must_use]
    pub const fn accepts(&self, lane: Lane) -> bool {
        match lane {
            Lane::Live => !self.bulk_only,
            Lane::Standard => self.accepts_standard(),
            Lane::Bulk => self.accepts_bulk(),
        }
    }
}

/// Outcome of a claim.
#[derive(Debug)]
pub enum Claim {
    /// A job to run.
    Job(Box<Claimed>),
    /// A job that ended without a run: its time in the queue was over, or it asked for another model.
    /// Its followers should be told.
    Expired(JobId),
    /// There is nothing to take.
    Nothing,
    /// Suspects wait. The worker must take nothing until it is idle, and ask again every
    /// [`HOLD_PAUSE`].
    Hold,
}

/// A claimed job.
#[derive(Debug)]
pub struct Claimed {
    /// Right to run the job.
    pub lease: Lease,
    /// Text and settings of the job.
    pub spec: JobSpec,
    /// Time from acceptance to this claim.
    pub waited: Duration,
    /// True if a worker died with the job before: nothing may run beside it.
    pub alone: bool,
}

/// Outcome of a claim on one shard.
enum ShardClaim {
    Took(Claim),
    Empty,
    /// Suspects wait on the shard, and the worker must become idle for them.
    Hold,
}

/// Answer of the script: verdict, id, attempt, payload, waited ms, alone.
type Answer = Option<Vec<Option<String>>>;

/// Handle with which a worker claims its jobs; a worker has only one. The queue remembers the last
/// claim of each worker, so that a job whose claim was not answered still finds its worker.
pub struct Claimer {
    queue: Queue,
    worker_id: WorkerId,
    build: String,
    /// Shard to begin with.
    first: usize,
    /// Claim that was made and not answered, by shard.
    pub(super) unanswered: Vec<Option<Uuid>>,
}

impl Queue {
    /// Creates the claimer of a worker. Dead letters name its `build`.
    #[must_use]
    pub fn claimer(&self, worker_id: &WorkerId, build: &str) -> Claimer {
        let unanswered = vec![None; self.shards.len()];
        Claimer { queue: self.clone(), worker_id: worker_id.clone(), build: build.to_owned(), first: 0, unanswered }
    }
}

impl Claimer {
    /// Takes the job whose turn it is, if there is one; never waits. A job whose payload cannot be
    /// read is given back, for a worker of another build. After as many tries as any job has, it is
    /// a dead letter.
    ///
    /// If the answer is lost on the way, the next call asks for it again. Only a worker that never
    /// calls again leaves a job to the reaper.
    pub async fn claim(&mut self, capacity: WorkerCapacity) -> Result<Claim, QueueError> {
        self.queue.agree().await?;
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
                // The next call begins with this shard, and so checks first whether the worker is
                // idle enough.
                Ok(ShardClaim::Hold) => {
                    self.first = shard;
                    return Ok(Claim::Hold);
                }
                Err(error) => fault = Some(error),
            }
        }
        fault.map_or(Ok(Claim::Nothing), Err)
    }

    /// Makes the next claim begin with a shard that may have work.
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
                .arg(Lane::ALL.map(|lane| u32::from(capacity.accepts(lane))).as_slice())
                .arg(self.queue.options.per_shard(self.queue.options.tenant_running_max))
                .arg(ms(WARDEN))
                .arg(ms(RECORD_TTL))
                .arg(number.simple().to_string())
                .arg(u8::from(repeated.is_some()))
                .arg(ms(capacity.busy_for))
                .arg(ms(SOONER))
                .arg(self.queue.model());
            let answer: Answer = self.queue.redis.script_once(&script).await?;
            self.unanswered[shard] = None;
            let Some(answer) = answer else { return Ok(ShardClaim::Empty) };
            let field = |index: usize| answer.get(index).cloned().flatten().unwrap_or_default();
            match field(0).as_str() {
                // Only entries of ended jobs so far. Each round removes some, so the loop ends.
                "again" => {}
                "hold" => return Ok(ShardClaim::Hold),
                "expired" => return Ok(ShardClaim::Took(Claim::Expired(job_id(&field(1))?))),
                "foreign" => {
                    let id = job_id(&field(1))?;
                    tracing::error!(job = %id, asked = field(2), runs = self.queue.model(), "failed job of another model");
                    return Ok(ShardClaim::Took(Claim::Expired(id)));
                }
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
