//! The queue's numbers of the last seconds: the ones shown, and the ones that rates are taken over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use csm_queue::queue::{QueueError, QueueStats, REPORT_EVERY, TargetWaits};

use super::StatsResult;
use crate::commands::queue::View;

/// Time over which rates are taken. Workers report their frames every few seconds, so two
/// neighbouring reads may differ by nothing.
const RATE_WINDOW: Duration = REPORT_EVERY.saturating_mul(2);

/// Reads of the queue, oldest first; there is always a last one.
#[derive(Debug)]
pub(super) struct StatsHistory {
    earlier: VecDeque<(Instant, QueueStats)>,
    last: (Instant, QueueStats),
    trouble: Option<String>,
    targets: TargetWaits,
}

impl StatsHistory {
    /// Begins with a read made now. The lanes want slots for the target waits.
    pub(super) fn new(stats: QueueStats, targets: TargetWaits) -> Self {
        Self { earlier: VecDeque::new(), last: (Instant::now(), stats), trouble: None, targets }
    }

    /// Records the result of a read made now. After a failed read the last numbers stay, with the
    /// failure beside them.
    ///
    /// # Errors
    /// A failure that will not pass by itself.
    pub(super) fn take(&mut self, told: StatsResult) -> Result<(), QueueError> {
        match told {
            Ok(stats) => self.add(Instant::now(), stats),
            Err(error) if error.is_transient() => self.trouble = Some(format!("{error}; trying again")),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add(&mut self, at: Instant, stats: QueueStats) {
        self.earlier.push_back(std::mem::replace(&mut self.last, (at, stats)));
        // Keep the newest read that is old enough, and all after it.
        while self.earlier.get(1).is_some_and(|(second, _)| at.duration_since(*second) >= RATE_WINDOW) {
            self.earlier.pop_front();
        }
        self.trouble = None;
    }

    /// Returns why the last read failed, if it did.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Returns the last read, with the earlier one that rates are taken over.
    pub(super) fn view(&self) -> View<'_> {
        let (at, now) = &self.last;
        let view = match self.earlier.front() {
            Some((then, before)) => View::since(now, before, at.duration_since(*then)),
            None => View::of(now),
        };
        view.with_targets(self.targets)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use csm_gateway::TargetWaitArgs;
    use csm_queue::redis_client::RedisFault;

    use super::*;

    fn targets() -> TargetWaits {
        TargetWaitArgs::default().into()
    }

    #[test]
    fn rates_are_taken_over_the_window() {
        let (start, mut history) = (Instant::now(), StatsHistory::new(QueueStats::empty(), targets()));
        history.last.0 = start;
        for second in 1..=60 {
            let mut now = QueueStats::empty();
            // The test ends one job each second, then three.
            now.ended[0].1 = if second <= 30 { second } else { 30 + (second - 30) * 3 };
            history.add(start + Duration::from_secs(second), now);
            let rate = if second <= 30 { "1.0 succeeded" } else { "3.0 succeeded" };
            if second <= 30 || second >= 40 {
                assert!(history.view().to_string().contains(rate), "{second}: {}", history.view());
            }
            assert!(history.earlier.len() <= 10, "old looks are let go");
        }
    }

    #[test]
    fn a_redis_that_is_away_is_said_until_it_is_back() {
        let mut history = StatsHistory::new(QueueStats::empty(), targets());
        history.take(Err(RedisFault::Unavailable("connection refused".into()).into())).unwrap();
        assert_eq!(history.trouble(), Some("Redis is unavailable: connection refused; trying again"));
        history.take(Ok(QueueStats::empty())).unwrap();
        assert_eq!(history.trouble(), None);
        assert!(history.take(Err(QueueError::Corrupt("x".into()))).is_err(), "this one would never pass");
    }
}
