//! Work that nobody claims: the first thing that an operator must see.

use serde::Serialize;

use super::{LEASE, LaneStats, QueueStats, WorkerReport};
use csm_shared::job::Lane;

/// Reason why nobody claims the waiting jobs of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Unclaimed {
    /// No living worker takes jobs of the lane.
    NoWorker,
    /// A worker could, and the oldest job has waited for a [`LEASE`] while the fleet runs nothing.
    NotClaiming,
}

impl WorkerReport {
    /// Returns whether the worker takes jobs of a lane. A report of an older build does not say which
    /// lanes it takes, and counts for all of them.
    fn serves(&self, lane: Lane) -> bool {
        let says = self.lane_slots.iter().any(|&slots| slots > 0);
        !self.draining && (!says || self.lane_slots[lane as usize] > 0)
    }
}

impl QueueStats {
    /// Returns why nobody claims the waiting jobs of a lane; `None` if nothing waits, if the lane is
    /// paused, or if there is no sign of it.
    #[must_use]
    pub fn unclaimed(&self, lane: &LaneStats) -> Option<Unclaimed> {
        if lane.paused || lane.waiting_audio.is_zero() {
            return None;
        }
        if !self.workers.iter().any(|worker| worker.report.serves(lane.lane)) {
            return Some(Unclaimed::NoWorker);
        }
        let waits_long = lane.depth > 0 && lane.oldest.is_some_and(|age| age >= LEASE);
        (self.running == 0 && waits_long).then_some(Unclaimed::NotClaiming)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queue::WorkerStatus;

    fn told(stats: &QueueStats) -> Vec<Option<Unclaimed>> {
        stats.lanes.iter().map(|lane| stats.unclaimed(lane)).collect()
    }

    fn worker(lane_slots: [u8; 3], draining: bool) -> WorkerStatus {
        let report = WorkerReport { slots: 5, lane_slots, draining, ..WorkerReport::default() };
        WorkerStatus { owner: "w".into(), report }
    }

    #[test]
    fn work_that_no_living_worker_takes_is_unclaimed() {
        let mut stats = QueueStats::empty();
        assert_eq!(told(&stats), [None; 3], "nothing waits");
        for lane in &mut stats.lanes {
            (lane.depth, lane.waiting_audio) = (1, Duration::from_secs(1));
        }
        assert_eq!(told(&stats), [Some(Unclaimed::NoWorker); 3]);
        stats.workers = vec![worker([5, 5, 5], true)];
        assert_eq!(told(&stats), [Some(Unclaimed::NoWorker); 3], "a worker that drains claims nothing");
        stats.workers.push(worker([0, 0, 5], false));
        assert_eq!(told(&stats), [Some(Unclaimed::NoWorker), Some(Unclaimed::NoWorker), None]);
        stats.lanes[0].paused = true;
        assert_eq!(told(&stats)[0], None, "an operator holds it back");
        stats.workers.push(worker([0, 0, 0], false));
        assert_eq!(told(&stats), [None; 3], "an older build does not say its lanes");
    }

    #[test]
    fn workers_that_leave_an_old_job_while_nothing_runs_are_not_claiming() {
        let mut stats = QueueStats::empty();
        stats.workers = vec![worker([5, 4, 3], false)];
        let lane = &mut stats.lanes[1];
        (lane.depth, lane.waiting_audio) = (1, Duration::from_secs(1));
        lane.oldest = LEASE.checked_sub(Duration::from_millis(1));
        assert_eq!(told(&stats), [None; 3], "not yet");
        stats.lanes[1].oldest = Some(LEASE);
        assert_eq!(told(&stats), [None, Some(Unclaimed::NotClaiming), None]);
        stats.running = 1;
        assert_eq!(told(&stats), [None; 3], "the slots may be taken");
    }
}
