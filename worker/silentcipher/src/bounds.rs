//! Bounds of a search: its time, and the lock that it shares with other users of the processor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Pause between two attempts to take the lock.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Bounds of a search. The search checks them before each reading, and finishes a reading that has
/// begun. By default there is no time limit, and the lock is not shared.
#[derive(Clone, Default)]
pub struct Bounds {
    /// Deadline of the search. A reading begins only if, at the pace of those before, it ends by
    /// then.
    pub until: Option<Instant>,
    /// Token that ends the search before its next reading.
    pub stop: CancellationToken,
    /// Lock that is held during each reading, because a reading takes all cores.
    pub lock: Arc<Mutex<()>>,
}

/// Guard of the lock during one reading.
pub(super) struct SearchLock<'a> {
    _held: MutexGuard<'a, ()>,
}

impl Bounds {
    /// Waits for the lock, for a reading that takes `need`. Returns `None` if the time does not
    /// suffice, or if the search was stopped.
    pub(super) fn lock(&self, need: Duration) -> Option<SearchLock<'_>> {
        while !self.stop.is_cancelled() && need < self.left() {
            match self.lock.try_lock() {
                Ok(held) => return Some(SearchLock { _held: held }),
                // The lock guards no data that a panic could have spoiled.
                Err(TryLockError::Poisoned(poisoned)) => {
                    return Some(SearchLock { _held: PoisonError::into_inner(poisoned) });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_AGAIN),
            }
        }
        None
    }

    /// Returns the time that is left.
    pub(super) fn left(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }
}
