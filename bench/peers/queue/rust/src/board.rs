//! When each job was asked for and when its handler began, on one clock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Times in nanoseconds since the board was made; 0 means not yet.
pub struct Board {
    zero: Instant,
    asked: Vec<AtomicU64>,
    began: Vec<AtomicU64>,
    ended: AtomicUsize,
}

impl Board {
    /// A board for jobs 0 to `jobs` - 1.
    pub fn new(jobs: usize) -> Self {
        let empty = || (0..jobs).map(|_| AtomicU64::new(0)).collect();
        Self { zero: Instant::now(), asked: empty(), began: empty(), ended: AtomicUsize::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The producer is about to enqueue job `n`.
    pub fn ask(&self, n: usize) {
        self.asked[n].store(self.now(), Ordering::Relaxed);
    }

    /// The handler of job `n` began. A second delivery of the same job does not count.
    pub fn begin(&self, n: usize) {
        let _ = self.began[n].compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Counts a handler that ended.
    pub fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Handlers over so far.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits of `count` jobs from `first` on, in milliseconds, shortest first.
    pub fn waits_ms(&self, first: usize, count: usize) -> Vec<f64> {
        let wait = |n: usize| {
            let asked = self.asked[n].load(Ordering::Relaxed);
            self.began[n].load(Ordering::Relaxed).saturating_sub(asked) as f64 / 1e6
        };
        let mut waits: Vec<f64> = (first..first + count).map(wait).collect();
        waits.sort_by(f64::total_cmp);
        waits
    }
}
