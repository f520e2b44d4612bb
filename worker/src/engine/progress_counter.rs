//! Signs of life: that something still gets on, told by a number that has changed since it was last read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts what gets done. Work that shows nothing while it lasts is announced with the time that it may take, and counts
/// as getting on for so long.
#[derive(Default)]
pub(crate) struct ProgressCounter {
    shown: AtomicU64,
    work: Mutex<Option<Work>>,
}

#[derive(Clone, Copy)]
struct Work {
    begun: Instant,
    limit: Duration,
}

impl ProgressCounter {
    /// Something was done.
    pub(crate) fn show(&self) {
        self.shown.fetch_add(1, Ordering::Relaxed);
    }

    /// A piece of work begins that will show nothing and may take up to `limit`. One at a time.
    pub(crate) fn begin(&self, limit: Duration) {
        self.set(Some(Work { begun: Instant::now(), limit }));
    }

    /// It is done.
    pub(crate) fn end(&self) {
        self.set(None);
    }

    fn set(&self, work: Option<Work>) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = work;
        self.show();
    }

    /// The number. It never falls, and has grown since the last call if anything got on.
    pub(crate) fn read(&self) -> u64 {
        let work = *self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.is_some_and(|Work { begun, limit }| begun.elapsed() < limit) {
            self.show();
        }
        self.shown.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_grows_with_what_is_done_and_with_work_within_its_time() {
        let signs = ProgressCounter::default();
        let still = signs.read();
        assert_eq!(signs.read(), still);
        signs.show();
        assert_eq!(signs.read(), still + 1);
        signs.begin(Duration::from_secs(3_600));
        let (first, second) = (signs.read(), signs.read());
        assert!(first > still + 1 && second > first, "the work is given its time");
        signs.begin(Duration::ZERO);
        let over = signs.read();
        assert_eq!(signs.read(), over, "its time is over");
        signs.end();
        assert!(signs.read() > over);
    }
}
