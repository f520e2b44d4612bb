//! Whether an attempt gets on: its own signs of life and those of its engine. A lease is renewed by them alone.

use std::time::Duration;

use csm_engine::engine::{Engine, ProgressCounter};

/// The signs of one attempt.
pub struct AttemptProgress {
    engine: Engine,
    own: ProgressCounter,
}

impl AttemptProgress {
    /// The pulse of an attempt on `engine`.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, own: ProgressCounter::default() }
    }

    /// A number that has grown since the last call if anything got on.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.engine.progress().wrapping_add(self.own.read())
    }

    /// Gives the engine up: the attempt waited for it, and nothing came.
    pub fn give_up(&self) {
        self.engine.give_up();
    }

    /// Something was done.
    pub(super) fn advance(&self) {
        self.own.advance();
    }

    /// Awaits work outside of the engine that shows nothing while it lasts. It counts as getting on for up to `limit`.
    pub(super) async fn during<T>(&self, limit: Duration, work: impl Future<Output = T>) -> T {
        self.own.begin(limit);
        let done = work.await;
        self.own.end();
        done
    }
}
