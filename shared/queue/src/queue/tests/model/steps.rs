//! The model's moves, one function each.

use super::{Fence, JobPlace, ModelEntry, ModelJob, OPEN_MAX, QueueModel, RUNNING_MAX, SUSPECTS};
use crate::queue::tests::moves::TimeLimit;
use crate::queue::{Beat, Cancel, Commit, MAX_FAILED_ATTEMPTS, Retry};
use csm_shared::job::{FailureClass, JobState, Lane};

/// Shares of the lanes.
const WEIGHTS: [u64; 3] = [16, 4, 1];

impl QueueModel {
    pub(super) fn enqueue(&mut self, lane: Lane, text: usize, tenant: usize, limit: TimeLimit) -> String {
        if self.closed {
            return "closed".into();
        }
        if self.open(tenant) >= OPEN_MAX {
            return "tenant full".into();
        }
        self.accept(ModelJob::new(lane, text, tenant, limit));
        "accepted".into()
    }

    fn accept(&mut self, job: ModelJob) {
        self.jobs.push(job);
        self.push(self.jobs.len() - 1);
    }

    /// Puts a queued job into its stream.
    fn push(&mut self, job: usize) {
        let queue = if self.jobs[job].suspect { SUSPECTS } else { self.jobs[job].lane as usize };
        self.entries += 1;
        self.streams[queue].push(ModelEntry { job, number: self.entries, owner: None });
        self.jobs[job].place = JobPlace::Stream(queue, self.entries);
    }

    pub(super) fn promote(&mut self) -> usize {
        let due = self.by_id(|job| job.place == JobPlace::Delayed && job.due);
        due.iter().for_each(|&job| self.push(job));
        let has_room = self.count(0, JobState::Running) < RUNNING_MAX;
        due.len() + usize::from(has_room && self.unpark())
    }

    /// Puts the next parked job into its stream. Only the first tenant has any.
    fn unpark(&mut self) -> bool {
        while !self.parked.is_empty() {
            let job = self.parked.remove(0);
            if self.jobs[job].place == JobPlace::Parked {
                self.push(job);
                return true;
            }
        }
        false
    }

    pub(super) fn claim(&mut self, worker: usize, idle: bool, accepts: [bool; 3]) -> String {
        self.promote();
        if self.suspects() > 0 {
            if idle {
                if let Some((answer, _)) = self.serve(SUSPECTS, worker) {
                    self.warden = self.warden.filter(|&warden| warden != worker);
                    return answer;
                }
            } else if self.warden.is_none_or(|warden| warden == worker) {
                self.warden = Some(worker);
                return "nothing".into();
            }
        }
        let mut order: Vec<_> = (0..3).map(|lane| (self.tags[lane].max(self.clock), lane)).collect();
        order.sort_unstable();
        for (tag, lane) in order {
            if self.paused[lane] || !accepts[lane] {
                continue;
            }
            if let Some((answer, begun)) = self.serve(lane, worker) {
                if let Some(job) = begun {
                    self.clock = tag;
                    self.tags[lane] = tag + (self.jobs[job].cost() * 1_000).div_ceil(WEIGHTS[lane]);
                }
                return answer;
            }
        }
        "nothing".into()
    }

    /// Reads a stream up to the first entry that has an answer. Returns the answer, and the job if
    /// it begins.
    fn serve(&mut self, queue: usize, worker: usize) -> Option<(String, Option<usize>)> {
        while let Some(at) = self.streams[queue].iter().position(|entry| entry.owner.is_none()) {
            let entry = self.streams[queue][at];
            let ModelEntry { job: index, number, .. } = entry;
            if self.runs_from(queue, entry) {
                self.streams[queue][at].owner = self.jobs[index].owner;
                continue;
            }
            let tenant_is_full = self.count(self.jobs[index].tenant, JobState::Running) >= RUNNING_MAX;
            let fence = Fence { job: index, worker, attempt: self.jobs[index].attempt + 1 };
            let job = &mut self.jobs[index];
            if job.state == JobState::Queued
                && job.place == JobPlace::Stream(queue, number)
                && !job.over
                && !tenant_is_full
            {
                self.streams[queue][at].owner = Some(worker);
                job.state = JobState::Running;
                job.owner = Some(worker);
                job.attempt += 1;
                job.alone = queue == SUSPECTS;
                (job.lost, job.timed) = (false, false);
                if job.limit == TimeLimit::Wait {
                    job.limit = TimeLimit::None;
                }
                let answer = format!("job j{index} attempt {} alone {}", job.attempt, job.alone);
                self.fences.push(fence);
                return Some((answer, Some(index)));
            }
            self.streams[queue].remove(at);
            if job.state != JobState::Queued || job.place != JobPlace::Stream(queue, number) {
                continue;
            }
            if job.over {
                self.settle(index, JobState::Expired);
                return Some((format!("expired j{index}"), None));
            }
            job.place = JobPlace::Parked;
            self.parked.push(index);
        }
        None
    }

    pub(super) fn beat(&mut self, fence: Fence) -> Beat {
        if !self.holds(fence) {
            return Beat::Lost;
        }
        let job = &mut self.jobs[fence.job];
        job.lost = false;
        match job {
            ModelJob { cancel: true, .. } => Beat::CancelRequested,
            ModelJob { limit: TimeLimit::Deadline, over: true, .. } => Beat::Late,
            _ => Beat::Kept,
        }
    }

    fn leave_running(&mut self, job: usize) {
        let job = &mut self.jobs[job];
        if let JobPlace::Stream(queue, number) = job.place {
            self.streams[queue].retain(|entry| entry.number != number);
        }
        job.alone = false;
        if job.tenant == 0 {
            self.unpark();
        }
    }

    pub(super) fn finish(&mut self, fence: usize, end: JobState, failure: Option<FailureClass>) -> String {
        let Fence { job: index, worker, attempt } = self.fences[fence];
        if !self.holds(self.fences[fence]) {
            let job = &self.jobs[index];
            let mine = job.owner == Some(worker) && job.attempt == attempt;
            let answer = match job.state {
                state if mine && state == end => Commit::Committed,
                JobState::Cancelled if mine => Commit::Cancelled,
                _ => Commit::Stale,
            };
            return format!("{answer:?}");
        }
        self.leave_running(index);
        let job = &mut self.jobs[index];
        if end == JobState::Succeeded && job.cancel {
            self.settle(index, JobState::Cancelled);
            return format!("{:?}", Commit::Cancelled);
        }
        if end == JobState::Succeeded {
            job.receipt = Some(attempt);
        }
        job.failure = failure.or(job.failure);
        self.settle(index, end);
        format!("{:?}", Commit::Committed)
    }

    fn settle(&mut self, index: usize, end: JobState) {
        let job = &mut self.jobs[index];
        if let JobPlace::Stream(queue, number) = job.place {
            self.streams[queue].retain(|entry| entry.number != number);
        }
        (job.state, job.place, job.timed) = (end, JobPlace::Nowhere, false);
        let own_fault = matches!(job.failure, Some(FailureClass::Invalid | FailureClass::Deadline));
        job.dead = end == JobState::Failed && !own_fault;
        job.spec = job.dead;
        if job.dead {
            self.dead.push(index);
        }
    }

    pub(super) fn retry(&mut self, fence: usize, delayed: bool, suspect: bool) -> String {
        let fence = self.fences[fence];
        if !self.holds(fence) {
            return format!("{:?}", Retry::Stale);
        }
        let was_alone = self.jobs[fence.job].alone;
        self.leave_running(fence.job);
        let job = &mut self.jobs[fence.job];
        job.failure = Some(FailureClass::Transient);
        if suspect && !was_alone {
            job.suspect = true;
        } else {
            job.failures += 1;
        }
        format!("{:?}", self.again_or_fail(fence.job, delayed))
    }

    fn again_or_fail(&mut self, index: usize, delayed: bool) -> Retry {
        let job = &self.jobs[index];
        if job.cancel {
            self.settle(index, JobState::Cancelled);
            return Retry::Cancelled;
        }
        if job.failures + job.crashes >= MAX_FAILED_ATTEMPTS {
            self.settle(index, JobState::Failed);
            return Retry::Failed;
        }
        self.requeue(index, delayed);
        Retry::Queued
    }

    fn requeue(&mut self, index: usize, delayed: bool) {
        let job = &mut self.jobs[index];
        (job.state, job.owner, job.timed) = (JobState::Queued, None, job.limit != TimeLimit::None);
        if delayed {
            (job.place, job.due) = (JobPlace::Delayed, false);
        } else {
            self.push(index);
        }
    }

    pub(super) fn release(&mut self, fence: usize, delayed: bool) -> String {
        let fence = self.fences[fence];
        if !self.holds(fence) {
            return format!("{:?}", Retry::Stale);
        }
        self.leave_running(fence.job);
        if self.jobs[fence.job].cancel {
            self.settle(fence.job, JobState::Cancelled);
            return format!("{:?}", Retry::Cancelled);
        }
        self.requeue(fence.job, delayed);
        format!("{:?}", Retry::Queued)
    }

    pub(super) fn cancel(&mut self, index: usize) -> String {
        let answer = match self.jobs[index].state {
            JobState::Queued => {
                self.settle(index, JobState::Cancelled);
                Cancel::Cancelled
            }
            JobState::Running => {
                self.jobs[index].cancel = true;
                Cancel::Cancelling
            }
            JobState::Cancelled => Cancel::Cancelled,
            ended => Cancel::AlreadyFinal(ended),
        };
        format!("{answer:?}")
    }

    pub(super) fn reap(&mut self) -> String {
        let lost = self.by_id(|job| job.state == JobState::Running && job.lost);
        for &index in &lost {
            let job = &mut self.jobs[index];
            if job.alone {
                job.crashes += 1;
            } else {
                job.suspect = true;
            }
            self.leave_running(index);
            self.jobs[index].failure = Some(FailureClass::WorkerLost);
            self.again_or_fail(index, false);
        }
        format!("{:?}", lost.iter().map(|&index| (index, self.jobs[index].state)).collect::<Vec<_>>())
    }

    pub(super) fn expire(&mut self) -> String {
        let over = self.by_id(|job| job.timed && job.over);
        over.iter().for_each(|&index| self.jobs[index].timed = false);
        let waited = |index: &&usize| self.jobs[**index].state == JobState::Queued;
        let expired: Vec<_> = over.iter().filter(waited).copied().collect();
        expired.iter().for_each(|&index| self.settle(index, JobState::Expired));
        format!("{expired:?}")
    }

    pub(super) fn replay(&mut self, index: usize) -> String {
        let old = &self.jobs[index];
        if let Some(new) = old.replayed_as {
            return format!("j{new}");
        }
        if !old.dead {
            return "none".into();
        }
        let mut job = ModelJob::new(old.lane, old.text, old.tenant, TimeLimit::None);
        job.is_replay = true;
        self.accept(job);
        let new = self.jobs.len() - 1;
        let old = &mut self.jobs[index];
        (old.replayed_as, old.dead, old.spec) = (Some(new), false, false);
        self.dead.retain(|&dead| dead != index);
        format!("j{new}")
    }
}
