//! How long a search may take, and with whom it shares the processor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Pause between two tries to get a turn.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// What a search keeps to. It looks here before each reading; a reading that has begun is finished. By default it may take as
/// long as it likes and shares with nobody.
#[derive(Clone, Default)]
pub struct Bounds {
    /// The search ends here: no reading is begun that by the pace of those before would not be done by then.
    pub until: Option<Instant>,
    /// Ends the search before its next reading.
    pub stop: CancellationToken,
    /// Held during each reading, which takes all cores.
    pub lock: Arc<Mutex<()>>,
}

/// One reading's turn.
pub(super) struct SearchLock<'a> {
    _held: MutexGuard<'a, ()>,
}

impl Bounds {
    /// Waits for the turn of a reading that takes `need`; `None` where there is no time for it, or no more reading.
    pub(super) fn lock(&self, need: Duration) -> Option<SearchLock<'_>> {
        while !self.stop.is_cancelled() && need < self.left() {
            match self.lock.try_lock() {
                Ok(held) => return Some(SearchLock { _held: held }),
                // It guards no data that a panic could have spoiled.
                Err(TryLockError::Poisoned(poisoned)) => {
                    return Some(SearchLock { _held: PoisonError::into_inner(poisoned) });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_AGAIN),
            }
        }
        None
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }
}
