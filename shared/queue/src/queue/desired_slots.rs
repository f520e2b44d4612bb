//! Slots that each lane wants, from which a fleet is scaled.
//!
//! A lane wants the slots that run its jobs now, and as many more as speak its waiting jobs within the
//! lane's target wait, but no more than it has waiting jobs, because a job has one slot. The rate of a slot is that of the workers that have measured theirs, shared by
//! their slots. Until the first of them has spoken a job, a slot is taken to speak in real time.

use std::time::Duration;

use csm_shared::audio::FRAME_MS;
use csm_shared::job::Lane;

use super::{LaneStats, QueueStats};

/// Seconds of audio that a slot makes in a second while no worker has measured its rate.
const UNKNOWN_RATE: f64 = 1.0;
/// Largest number of slots that one lane wants. No fleet is as large, and every consumer can count
/// up to it.
const SLOTS_MAX: f64 = 1_000_000.0;

/// Wait of each lane that a fleet is sized for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetWaits {
    /// Target of the live lane.
    pub live: Duration,
    /// Target of the standard lane.
    pub standard: Duration,
    /// Target of the bulk lane.
    pub bulk: Duration,
}

impl TargetWaits {
    /// Returns the target of a lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Live => self.live,
            Lane::Standard => self.standard,
            Lane::Bulk => self.bulk,
        }
    }
}

impl QueueStats {
    /// Returns the number of slots that a lane wants. A lane with a waiting job wants at least one; one
    /// that an operator holds back wants no more than those that run.
    #[must_use]
    pub fn desired_slots(&self, lane: &LaneStats, targets: &TargetWaits) -> u64 {
        if lane.paused || self.closed {
            return lane.running;
        }
        let target = targets.of(lane.lane).max(Duration::from_millis(1)).as_secs_f64();
        let more = lane.waiting_audio.as_secs_f64() / (self.slot_rate() * target);
        lane.running + (more.ceil().min(SLOTS_MAX) as u64).min(lane.waiting)
    }

    /// Returns the seconds of audio that a slot is taken to make in a second.
    #[must_use]
    pub fn slot_rate(&self) -> f64 {
        self.measured_slot_rate().unwrap_or(UNKNOWN_RATE)
    }

    /// Returns the seconds of audio that a slot makes in a second, on average over the workers that
    /// have measured their rate; `None` if no worker has.
    #[must_use]
    pub fn measured_slot_rate(&self) -> Option<f64> {
        let measured = self.workers.iter().map(|worker| &worker.report).filter(|report| report.frames_per_second > 0.0);
        let (slots, frames) = measured.fold((0, 0.0), |(slots, frames), report| {
            (slots + u32::from(report.slots), frames + report.frames_per_second)
        });
        (slots > 0).then(|| frames * f64::from(FRAME_MS) / 1_000.0 / f64::from(slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{WorkerReport, WorkerStatus};

    const TARGETS: TargetWaits =
        TargetWaits { live: Duration::from_secs(2), standard: Duration::from_secs(30), bulk: Duration::from_secs(600) };

    /// Returns the numbers of a fleet; its workers have these slots and frames a second.
    fn stats(waiting: [u64; 3], running: u64, workers: &[(u8, f64)]) -> QueueStats {
        let mut stats = QueueStats::empty();
        for (lane, seconds) in stats.lanes.iter_mut().zip(waiting) {
            (lane.waiting_audio, lane.running) = (Duration::from_secs(seconds), running);
            // Jobs of a second each.
            lane.waiting = seconds;
        }
        let worker = |&(slots, frames_per_second): &(u8, f64)| {
            let report = WorkerReport { slots, frames_per_second, ..WorkerReport::default() };
            WorkerStatus { owner: "w".into(), report }
        };
        stats.workers = workers.iter().map(worker).collect();
        stats
    }

    fn desired(stats: &QueueStats) -> Vec<u64> {
        stats.lanes.iter().map(|lane| stats.desired_slots(lane, &TARGETS)).collect()
    }

    #[test]
    fn a_lane_wants_what_speaks_its_backlog_within_its_target() {
        assert_eq!(Lane::ALL, [Lane::Live, Lane::Standard, Lane::Bulk]);
        // Two workers of five slots make 2 s of audio in a second: 0.2 s each slot. A third one has not
        // spoken yet.
        let fleet = |waiting, running| stats(waiting, running, &[(5, 12.5), (5, 12.5), (5, 0.0)]);
        assert_eq!(desired(&fleet([0, 0, 0], 3)), [3, 3, 3], "no backlog: what runs");
        assert_eq!(desired(&fleet([4, 60, 1_200], 0)), [4, 10, 10]);
        assert_eq!(desired(&fleet([1, 1, 1], 2)), [3, 3, 3], "less than a slot is a whole one");
    }

    #[test]
    fn an_empty_fleet_wants_its_first_slot_and_a_held_lane_wants_none() {
        assert_eq!(desired(&stats([1, 0, 0], 0, &[])), [1, 0, 0]);
        assert_eq!(desired(&stats([10, 10, 10], 0, &[(5, 0.0)])), [5, 1, 1]);
        let mut long = stats([60, 600, 6_000], 1, &[]);
        long.lanes.iter_mut().for_each(|lane| lane.waiting = 2);
        assert_eq!(desired(&long), [3, 3, 3], "a job has one slot, however long it is");
        let mut held = stats([10, 10, 10], 1, &[]);
        held.lanes[0].paused = true;
        assert_eq!(desired(&held), [1, 2, 2]);
        held.closed = true;
        assert_eq!(desired(&held), [1, 1, 1]);
        let endless = stats([u64::MAX / 2, 0, 0], 0, &[(1, 0.000_001)]);
        assert_eq!(desired(&endless), [1_000_000, 0, 0], "a bound");
    }
}
