//! Progress of an attempt: its own steps and those of its engine. Only progress renews a lease.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use csm_engine::engine::{Engine, ProgressCounter};

/// Progress counters of one attempt and its engine.
pub struct AttemptProgress {
    engine: Engine,
    own: ProgressCounter,
    kept: AtomicBool,
}

impl AttemptProgress {
    /// Returns the progress of a new attempt on `engine`.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, own: ProgressCounter::default(), kept: AtomicBool::new(false) }
    }

    /// Returns a number that has grown since the last call if the attempt or its engine made
    /// progress.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.engine.progress().wrapping_add(self.own.read())
    }

    /// Gives up the engine, because the attempt waited for it in vain.
    pub fn give_up(&self) {
        self.engine.give_up();
    }

    /// Returns whether the attempt had to wait for a shared part. Its duration then says nothing
    /// about the worker's rate.
    #[must_use]
    pub fn was_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Records a try after `trials` passed checks of a shared part.
    pub(super) fn note_trial(&self, trials: u32) {
        self.kept.fetch_or(trials > 0, Ordering::Relaxed);
    }

    /// Counts one step of the attempt.
    pub(super) fn advance(&self) {
        self.own.advance();
    }

    /// Awaits work outside of the engine that shows no progress itself. The work counts as progress
    /// for up to `limit`.
    pub(super) async fn during<T>(&self, limit: Duration, work: impl Future<Output = T>) -> T {
        self.own.begin(limit);
        let done = work.await;
        self.own.end();
        done
    }
}
