//! Pace of the log lines of loops that retry: an outage is logged at its first failure, then every
//! 30 s, and at its end if the loop says so.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Pause between two lines about one outage. An outage without a failure for so long is over.
pub const REMIND_EVERY: Duration = Duration::from_secs(30);

/// Outages of one thing that a loop needs, such as Redis. The loop reports each failure and each
/// success, and logs what it gets back. Several loops may share one, such as a `static`: each line
/// is then logged once in the process.
#[derive(Debug, Default)]
pub struct OutageLog(Mutex<Option<OutageState>>);

#[derive(Debug)]
struct OutageState {
    began: Instant,
    logged: Instant,
    failed: Instant,
    failures: u64,
}

/// Failures of one outage up to now, as a field of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Failures, the current one included.
    pub failures: u64,
    /// Time since the first failure.
    pub lasted: Duration,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.failures == 1 { "failure" } else { "failures" };
        write!(f, "{} {times} in {} s", self.failures, self.lasted.as_secs())
    }
}

impl OutageLog {
    /// Makes a log without an outage.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Counts a failure. Returns the outage if a line is due.
    pub fn failed(&self) -> Option<Outage> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.as_ref().is_none_or(|state| now.duration_since(state.failed) >= REMIND_EVERY);
        if is_new {
            *state = None;
        }
        let state = state.get_or_insert(OutageState { began: now, logged: now, failed: now, failures: 0 });
        state.failures += 1;
        state.failed = now;
        if !is_new && now.duration_since(state.logged) < REMIND_EVERY {
            return None;
        }
        state.logged = now;
        Some(state.outage(now))
    }

    /// Ends the outage. Returns it if there was one.
    pub fn worked(&self) -> Option<Outage> {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        ended.map(|state| state.outage(Instant::now()))
    }
}

impl OutageState {
    fn outage(&self, now: Instant) -> Outage {
        Outage { failures: self.failures, lasted: now.duration_since(self.began) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_said_once_then_every_30_s_and_at_its_end() {
        let log = OutageLog::new();
        assert_eq!(log.worked(), None, "there was no outage");
        let mut lines = Vec::new();
        for _ in 0..1_300 {
            lines.extend(log.failed());
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        let lasted: Vec<_> = lines.iter().map(|line| line.lasted.as_secs()).collect();
        assert_eq!(lasted, [0, 30, 60]);
        assert_eq!(lines[1].failures, 601);
        assert_eq!(log.worked(), Some(Outage { failures: 1_300, lasted: Duration::from_secs(65) }));
        for _ in 0..2 {
            assert_eq!(log.failed().map(|outage| outage.failures), Some(1), "the next outage begins anew");
            tokio::time::advance(REMIND_EVERY).await;
        }
    }
}
