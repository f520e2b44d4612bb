//! What a worker runs at the moment, and how fast it has been: what decides which job it may take next, and what it tells
//! the fleet of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csm_shared::job::Lane;
use csm_shared::queue::Room;
use tokio::sync::Notify;

/// Weight of the newest job in the measured rate.
const NEWEST: f64 = 0.1;

/// Shared count of running jobs.
#[derive(Clone, Default)]
pub(super) struct Load {
    counts: Arc<Mutex<Counts>>,
    left: Arc<Notify>,
}

#[derive(Default)]
struct Counts {
    running: u8,
    bulk: u8,
    frames: u64,
    /// Frames a second of one slot, from claim to commit.
    rate: Option<f64>,
}

/// One running job; it counts until dropped.
pub(super) struct Place {
    load: Load,
    bulk: bool,
}

impl Load {
    fn counts<T>(&self, read: impl FnOnce(&mut Counts) -> T) -> T {
        read(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts one more job.
    pub(super) fn enter(&self, lane: Lane) -> Place {
        let bulk = lane == Lane::Bulk;
        self.counts(|counts| {
            counts.running += 1;
            counts.bulk += u8::from(bulk);
        });
        Place { load: self.clone(), bulk }
    }

    /// Waits until a job has left since the last call.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// What the next claim may bring.
    pub(super) fn room(&self, slots: u8, reserve: u8) -> Room {
        self.counts(|counts| Room { slots, running: counts.running, bulk: counts.bulk, reserve })
    }

    /// Learns from a committed job.
    pub(super) fn learn(&self, frames: u32, took: Duration) {
        if frames == 0 || took.is_zero() {
            return;
        }
        let seen = f64::from(frames) / took.as_secs_f64();
        self.counts(|counts| {
            counts.frames += u64::from(frames);
            counts.rate = Some(counts.rate.map_or(seen, |rate| rate + NEWEST * (seen - rate)));
        });
    }

    /// Frames a second of one slot; 0 before the first job.
    pub(super) fn rate(&self) -> f64 {
        self.counts(|counts| counts.rate.unwrap_or(0.0))
    }

    /// Frames of all committed jobs.
    pub(super) fn frames(&self) -> u64 {
        self.counts(|counts| counts.frames)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.counts(|counts| {
            counts.running -= 1;
            counts.bulk -= u8::from(self.bulk);
        });
        self.load.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_jobs_never_take_the_reserve() {
        let load = Load::default();
        let mut places = Vec::new();
        while load.room(5, 2).has_room_for_bulk() {
            places.push(load.enter(Lane::Bulk));
        }
        assert_eq!(places.len(), 3);
        places.pop();
        let _live = load.enter(Lane::Live);
        assert!(load.room(5, 2).has_room_for_bulk(), "a live job takes no bulk job's place");
        assert!(Load::default().room(1, 1).has_room_for_bulk(), "one slot cannot be kept back");
    }

    #[test]
    fn the_rate_follows_what_is_seen() {
        let load = Load::default();
        load.learn(100, Duration::from_secs(10));
        assert!((load.rate() - 10.0).abs() < 1e-9);
        for _ in 0..100 {
            load.learn(100, Duration::from_secs(5));
        }
        assert!((load.rate() - 20.0).abs() < 0.1);
        load.learn(0, Duration::from_secs(5));
        assert_eq!(load.frames(), 10_100);
    }
}
