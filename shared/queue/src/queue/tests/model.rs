//! Expected behaviour of the queue in plain Rust: no Redis, no scripts, no time. Jobs, workers and
//! leases are numbers.

mod facts;
mod steps;

use super::moves::{QueueMove, TimeLimit};
use super::{TEXTS, spec};
use csm_shared::job::{FailureClass, JobState, Lane};

/// Jobs of one tenant that may run at a time.
pub(super) const RUNNING_MAX: usize = 2;
/// Jobs of one tenant that may be open.
pub(super) const OPEN_MAX: usize = 7;
/// Number of the suspects' stream, after those of the lanes.
pub(super) const SUSPECTS: usize = 3;

/// Place of an open job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobPlace {
    /// In a stream, by the number of its entry: waiting, or running from there.
    Stream(usize, u64),
    Delayed,
    Parked,
    /// No place: the job has ended.
    Nowhere,
}

#[derive(Clone, Debug)]
pub(super) struct ModelJob {
    pub(super) lane: Lane,
    pub(super) text: usize,
    pub(super) tenant: usize,
    pub(super) limit: TimeLimit,
    pub(super) state: JobState,
    pub(super) place: JobPlace,
    pub(super) attempt: u64,
    pub(super) owner: Option<usize>,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) suspect: bool,
    pub(super) alone: bool,
    pub(super) cancel: bool,
    /// True if the time in the queue is over.
    pub(super) over: bool,
    /// True while the job is among the deadlines: no script has yet seen that its time is over.
    pub(super) timed: bool,
    /// True if the lease has run out.
    pub(super) lost: bool,
    /// True if the delay is over.
    pub(super) due: bool,
    pub(super) spec: bool,
    pub(super) dead: bool,
    pub(super) receipt: Option<u64>,
    pub(super) failure: Option<FailureClass>,
    pub(super) replayed_as: Option<usize>,
    /// True if a replay made the job, so that its id comes after those of all others.
    pub(super) is_replay: bool,
}

impl ModelJob {
    fn new(lane: Lane, text: usize, tenant: usize, limit: TimeLimit) -> Self {
        Self {
            lane,
            text,
            tenant,
            limit,
            state: JobState::Queued,
            place: JobPlace::Nowhere,
            attempt: 0,
            owner: None,
            failures: 0,
            crashes: 0,
            suspect: false,
            alone: false,
            cancel: false,
            over: false,
            timed: limit != TimeLimit::None,
            lost: false,
            due: false,
            spec: true,
            dead: false,
            receipt: None,
            failure: None,
            replayed_as: None,
            is_replay: false,
        }
    }

    pub(super) fn cost(&self) -> u64 {
        u64::from(spec(self.lane, TEXTS[self.text]).expected_cost())
    }
}

/// Right to run one attempt, kept even after its loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fence {
    pub(super) job: usize,
    pub(super) worker: usize,
    pub(super) attempt: u64,
}

/// Entry of a stream: the job, the entry's number, and the worker that got it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelEntry {
    pub(super) job: usize,
    pub(super) number: u64,
    pub(super) owner: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct QueueModel {
    pub(super) jobs: Vec<ModelJob>,
    pub(super) fences: Vec<Fence>,
    pub(super) streams: [Vec<ModelEntry>; 4],
    /// Parked jobs of the first tenant. Ended ones stay among them until they are reached.
    pub(super) parked: Vec<usize>,
    pub(super) dead: Vec<usize>,
    pub(super) paused: [bool; 3],
    pub(super) closed: bool,
    entries: u64,
    tags: [u64; 3],
    clock: u64,
    warden: Option<usize>,
}

impl QueueModel {
    /// Counts the jobs of a tenant in a state.
    pub(super) fn count(&self, tenant: usize, state: JobState) -> usize {
        self.jobs.iter().filter(|job| job.tenant == tenant && job.state == state).count()
    }

    /// Counts the jobs of a tenant that have not ended.
    pub(super) fn open(&self, tenant: usize) -> usize {
        self.count(tenant, JobState::Queued) + self.count(tenant, JobState::Running)
    }

    pub(super) fn holds(&self, fence: Fence) -> bool {
        let job = &self.jobs[fence.job];
        job.state == JobState::Running && job.owner == Some(fence.worker) && job.attempt == fence.attempt
    }

    /// Returns the jobs that `select` chooses, in the order of their ids.
    pub(super) fn by_id(&self, select: impl Fn(&ModelJob) -> bool) -> Vec<usize> {
        let mut chosen: Vec<_> = (0..self.jobs.len()).filter(|&job| select(&self.jobs[job])).collect();
        chosen.sort_by_key(|&job| (self.jobs[job].is_replay, job));
        chosen
    }

    /// Returns whether a job runs from this entry.
    pub(super) fn runs_from(&self, queue: usize, entry: ModelEntry) -> bool {
        let job = &self.jobs[entry.job];
        job.state == JobState::Running && job.place == JobPlace::Stream(queue, entry.number)
    }

    /// Counts the entries of the suspects' stream that no worker has taken.
    pub(super) fn suspects(&self) -> usize {
        let waits = |entry: &&ModelEntry| entry.owner.is_none() && !self.runs_from(SUSPECTS, **entry);
        self.streams[SUSPECTS].iter().filter(waits).count()
    }

    /// Makes a move and returns what the queue must answer.
    pub(super) fn apply(&mut self, step: &QueueMove) -> String {
        match *step {
            QueueMove::Enqueue { lane, text, tenant, limit } => self.enqueue(lane, text, tenant, limit),
            QueueMove::Repeat { job, same: true } => format!("exists {}", self.jobs[job].state),
            QueueMove::Repeat { same: false, .. } => "conflict".into(),
            QueueMove::Claim { worker, idle, standard, bulk } => self.claim(worker, idle, [true, standard, bulk]),
            QueueMove::Beat(fence) => format!("{:?}", self.beat(self.fences[fence])),
            QueueMove::Succeed(fence) => self.finish(fence, JobState::Succeeded, None),
            QueueMove::Fail(fence, class) => self.finish(fence, JobState::Failed, Some(class)),
            QueueMove::GiveUp(fence) => self.finish(fence, JobState::Cancelled, None),
            QueueMove::Retry { fence, delayed } => self.retry(fence, delayed, false),
            QueueMove::Suspect(fence) => self.retry(fence, false, true),
            QueueMove::Release { fence, delayed } => self.release(fence, delayed),
            QueueMove::Cancel(job) => self.cancel(job),
            QueueMove::LeaseEnds(job) => set(&mut self.jobs[job].lost),
            QueueMove::RetryFallsDue(job) => set(&mut self.jobs[job].due),
            QueueMove::TimeIsOver(job) => set(&mut self.jobs[job].over),
            QueueMove::Reap => self.reap(),
            QueueMove::Promote => self.promote().to_string(),
            QueueMove::Expire => self.expire(),
            QueueMove::Reconcile => "[]".into(),
            QueueMove::Tidy => String::new(),
            QueueMove::Pause(lane, paused) => {
                self.paused[lane as usize] = paused;
                String::new()
            }
            QueueMove::Close(closed) => {
                self.closed = closed;
                String::new()
            }
            QueueMove::Replay(job) => self.replay(job),
            QueueMove::Purge(job) => {
                let job = &mut self.jobs[job];
                let was = std::mem::take(&mut job.dead);
                job.spec &= !was;
                self.dead.retain(|&dead| self.jobs[dead].dead);
                was.to_string()
            }
            QueueMove::WardenEnds => {
                self.warden = None;
                String::new()
            }
            QueueMove::GroupLost(queue) => {
                self.streams[queue].iter_mut().for_each(|entry| entry.owner = None);
                String::new()
            }
        }
    }
}

fn set(flag: &mut bool) -> String {
    *flag = true;
    String::new()
}
