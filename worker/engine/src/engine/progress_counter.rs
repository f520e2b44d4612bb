//! A counter that tells whether the engine makes progress: a changed number means that it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counter of finished work. Long work that reports nothing is announced with a time limit, and
/// counts as progress until the limit.
#[derive(Default)]
pub struct ProgressCounter {
    count: AtomicU64,
    work: Mutex<Option<Work>>,
}

#[derive(Clone, Copy)]
struct Work {
    begun: Instant,
    limit: Duration,
}

impl ProgressCounter {
    /// Counts a finished piece of work.
    pub fn advance(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Announces work that will report nothing and may take up to `limit`. Only one such work may
    /// run at a time.
    pub fn begin(&self, limit: Duration) {
        self.set(Some(Work { begun: Instant::now(), limit }));
    }

    /// Ends the announced work.
    pub fn end(&self) {
        self.set(None);
    }

    fn set(&self, work: Option<Work>) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = work;
        self.advance();
    }

    /// Returns the number. A growth since the last call means progress; the number never falls.
    pub fn read(&self) -> u64 {
        let work = *self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.is_some_and(|Work { begun, limit }| begun.elapsed() < limit) {
            self.advance();
        }
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_grows_with_what_is_done_and_with_work_within_its_time() {
        let counter = ProgressCounter::default();
        let still = counter.read();
        assert_eq!(counter.read(), still);
        counter.advance();
        assert_eq!(counter.read(), still + 1);
        counter.begin(Duration::from_secs(3_600));
        let (first, second) = (counter.read(), counter.read());
        assert!(first > still + 1 && second > first, "the work is given its time");
        counter.begin(Duration::ZERO);
        let over = counter.read();
        assert_eq!(counter.read(), over, "its time is over");
        counter.end();
        assert!(counter.read() > over);
    }
}
