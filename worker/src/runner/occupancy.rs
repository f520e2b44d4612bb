//! Running jobs of a worker and its measured rate. Both decide which job it may claim next, and are
//! part of its report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use csm_queue::queue::WorkerCapacity;
use csm_shared::audio::FRAME_MS;
use csm_shared::job::Lane;
use tokio::sync::Notify;

/// Weight of a job in the measured rate, relative to the job after it.
const KEPT: f64 = 0.9;

/// Shared count of running jobs.
#[derive(Clone, Default)]
pub(super) struct Occupancy {
    counts: Arc<Mutex<OccupancyCounts>>,
    freed: Arc<Notify>,
}

#[derive(Default)]
struct OccupancyCounts {
    entered: u64,
    running: BTreeMap<u64, RunningJob>,
    frames: u64,
    spoken: Spoken,
    /// Whether the engine has finished a job.
    engine_proven: bool,
}

/// Speech of the last jobs: two sums to which every job adds, after both have shrunk by [`KEPT`]. A
/// short job therefore counts as little as it took.
#[derive(Clone, Copy, Default)]
struct Spoken {
    frames: f64,
    seconds: f64,
}

impl Spoken {
    /// Returns the frames a second of one slot; `None` before the first job.
    fn rate(self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.frames / self.seconds)
    }
}

struct RunningJob {
    lane: Lane,
    since: Instant,
    /// Frames that the job is expected to need.
    frames: u32,
}

/// Registration of one running job; dropping it takes the job out of the count.
pub(super) struct OccupancyGuard {
    occupancy: Occupancy,
    number: u64,
}

impl Occupancy {
    fn counts<T>(&self, read: impl FnOnce(&mut OccupancyCounts) -> T) -> T {
        read(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts one more job, which is expected to need `frames` frames.
    pub(super) fn enter(&self, lane: Lane, frames: u32) -> OccupancyGuard {
        let running = RunningJob { lane, since: Instant::now(), frames };
        let number = self.counts(|counts| {
            counts.entered += 1;
            counts.running.insert(counts.entered, running);
            counts.entered
        });
        OccupancyGuard { occupancy: self.clone(), number }
    }

    /// Waits for a job to end. Returns at once if one has ended since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Returns the capacity for the next claim of a worker that has `empty` when it runs nothing.
    pub(super) fn capacity(&self, empty: WorkerCapacity) -> WorkerCapacity {
        self.counts(|counts| {
            let running = counts.running.values();
            // Each job holds a slot, so the counts are at most the number of slots.
            let count = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
            let of = |lane: Lane| count(counts.running.values().filter(|job| job.lane == lane).count());
            let rate = counts.spoken.rate();
            WorkerCapacity {
                running: count(running.len()),
                standard: of(Lane::Standard),
                bulk: of(Lane::Bulk),
                busy_for: running.map(|job| job.left(rate)).max().unwrap_or_default(),
                ..empty
            }
        })
    }

    /// Returns the frames that the running jobs are expected to need, those that are done included; 0
    /// if none runs.
    pub(super) fn expected_frames(&self) -> u64 {
        self.counts(|counts| counts.running.values().map(|job| u64::from(job.frames.max(1))).sum())
    }

    /// Updates the rate with a committed job, whose frames took `took`.
    pub(super) fn record_rate(&self, frames: u32, took: Duration) {
        if frames == 0 || took.is_zero() {
            return;
        }
        self.counts(|counts| {
            counts.frames += u64::from(frames);
            counts.spoken.frames = counts.spoken.frames * KEPT + f64::from(frames);
            counts.spoken.seconds = counts.spoken.seconds * KEPT + took.as_secs_f64();
        });
    }

    /// Records that the engine has finished a job.
    pub(super) fn prove_engine(&self) {
        self.counts(|counts| counts.engine_proven = true);
    }

    /// Returns whether the engine has finished a job. Until then its device may fail every job.
    pub(super) fn is_engine_proven(&self) -> bool {
        self.counts(|counts| counts.engine_proven)
    }

    /// Returns the frames a second of one slot; 0 before the first job.
    pub(super) fn rate(&self) -> f64 {
        self.counts(|counts| counts.spoken.rate().unwrap_or(0.0))
    }

    /// Returns the frames of all committed jobs.
    pub(super) fn frames(&self) -> u64 {
        self.counts(|counts| counts.frames)
    }
}

impl RunningJob {
    /// Returns the time that the job will likely still take at `rate` frames a second. Without a
    /// rate, the job is expected to take as long as its speech. A job that is late is expected to
    /// take as long again as it is late.
    fn left(&self, rate: Option<f64>) -> Duration {
        let seconds = f64::from(self.frames) / rate.unwrap_or(1_000.0 / f64::from(FRAME_MS));
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).abs_diff(self.since.elapsed())
    }
}

impl Drop for OccupancyGuard {
    fn drop(&mut self) {
        self.occupancy.counts(|counts| counts.running.remove(&self.number));
        self.occupancy.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the empty capacity of a worker that keeps slots back from bulk jobs.
    fn keeps(slots: u8, reserve: u8) -> WorkerCapacity {
        WorkerCapacity { reserve, ..WorkerCapacity::empty(slots) }
    }

    #[test]
    fn standard_and_bulk_jobs_never_take_the_live_reserve() {
        let occupancy = Occupancy::default();
        let room = WorkerCapacity { live_reserve: 1, reserve: 1, ..WorkerCapacity::empty(5) };
        assert_eq!(room.lane_slots(), [5, 4, 3]);
        let mut guards = Vec::new();
        while occupancy.capacity(room).accepts_bulk() {
            guards.push(occupancy.enter(Lane::Bulk, 10));
        }
        assert_eq!(guards.len(), 3);
        while occupancy.capacity(room).accepts_standard() {
            guards.push(occupancy.enter(Lane::Standard, 10));
        }
        assert_eq!(guards.len(), 4, "the last slot is kept for live jobs");
        let _live = occupancy.enter(Lane::Live, 10);
        guards.truncate(2);
        assert!(occupancy.capacity(room).accepts_bulk(), "a live job takes no other job's place");
        for slots in 1..=2 {
            let room = WorkerCapacity { live_reserve: 9, reserve: 9, ..WorkerCapacity::empty(slots) };
            assert_eq!(room.lane_slots(), [slots, 1, 1], "every lane has a slot");
        }
    }

    #[test]
    fn a_flood_of_short_jobs_does_not_change_the_rate() {
        let occupancy = Occupancy::default();
        for _ in 0..10 {
            occupancy.record_rate(100, Duration::from_secs(10));
        }
        // Each is slow because it is short: weighed by number, they would halve the rate.
        for _ in 0..7 {
            occupancy.record_rate(1, Duration::from_secs(1));
        }
        assert!(occupancy.rate() > 8.0, "{}", occupancy.rate());
    }

    #[test]
    fn bulk_jobs_never_take_the_reserve() {
        let occupancy = Occupancy::default();
        let mut guards = Vec::new();
        while occupancy.capacity(keeps(5, 2)).accepts_bulk() {
            guards.push(occupancy.enter(Lane::Bulk, 10));
        }
        assert_eq!(guards.len(), 3);
        guards.pop();
        let _live = occupancy.enter(Lane::Live, 10);
        assert!(occupancy.capacity(keeps(5, 2)).accepts_bulk(), "a live job takes no bulk job's place");
        assert!(Occupancy::default().capacity(keeps(1, 1)).accepts_bulk(), "one slot cannot be kept back");
    }

    #[test]
    fn a_worker_is_busy_until_its_last_job_is_expected_to_end() {
        let occupancy = Occupancy::default();
        assert!(occupancy.capacity(keeps(5, 0)).busy_for.is_zero());
        let short = occupancy.enter(Lane::Live, 100);
        let long = occupancy.enter(Lane::Bulk, 1_000);
        let seconds = || occupancy.capacity(keeps(5, 0)).busy_for.as_secs_f64();
        assert_eq!(occupancy.expected_frames(), 1_100);
        assert!((70.0..=80.0).contains(&seconds()), "{}: at 80 ms a frame", seconds());
        occupancy.record_rate(100, Duration::from_secs(4));
        assert!((30.0..=40.0).contains(&seconds()), "{}: at 25 frames a second", seconds());
        drop(long);
        assert!(seconds() <= 4.0);
        drop(short);
        assert!(occupancy.capacity(keeps(5, 0)).busy_for.is_zero());
        assert_eq!(occupancy.expected_frames(), 0);
        let _tiny = occupancy.enter(Lane::Live, 0);
        assert_eq!(occupancy.expected_frames(), 1, "a busy worker is not idle");
    }

    #[test]
    fn the_rate_follows_what_is_seen() {
        let occupancy = Occupancy::default();
        occupancy.record_rate(100, Duration::from_secs(10));
        assert!((occupancy.rate() - 10.0).abs() < 1e-9);
        for _ in 0..100 {
            occupancy.record_rate(100, Duration::from_secs(5));
        }
        assert!((occupancy.rate() - 20.0).abs() < 0.1);
        occupancy.record_rate(0, Duration::from_secs(5));
        assert_eq!(occupancy.frames(), 10_100);
    }
}
