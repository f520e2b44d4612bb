//! Events per second between two reads of the queue.

use std::time::Duration;

use csm_queue::queue::QueueStats;
use csm_shared::job::JobState;

/// Rates between two reads of the queue, per second.
#[derive(Debug, PartialEq)]
pub(super) struct Rates {
    /// Ended jobs per second, by final state.
    pub(super) ended: Vec<(JobState, f64)>,
    /// Frames per second of the workers that both reads saw.
    pub(super) frames: f64,
}

impl Rates {
    /// Computes rates from the counts of two reads; `None` if no time lies between them. A count
    /// that has shrunk was restarted from zero.
    pub(super) fn between(before: &QueueStats, now: &QueueStats, elapsed: Duration) -> Option<Self> {
        if elapsed.is_zero() {
            return None;
        }
        let per_second = |then: u64, now: u64| now.saturating_sub(then) as f64 / elapsed.as_secs_f64();
        let ended = now.ended.iter().map(|&(state, count)| {
            let then = before.ended.iter().find(|(other, _)| *other == state).map_or(0, |&(_, then)| then);
            (state, per_second(then, count))
        });
        let frames = now.workers.iter().filter_map(|worker| {
            let then = before.workers.iter().find(|other| other.owner == worker.owner)?;
            Some(per_second(then.report.frames, worker.report.frames))
        });
        // `sum` of no floats would be -0.0.
        Some(Self { ended: ended.collect(), frames: frames.fold(0.0, |sum, rate| sum + rate) })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::view::tests::worker;
    use super::*;

    #[test]
    fn counts_become_rates_and_a_newcomer_adds_nothing() {
        let (mut before, mut now) = (QueueStats::empty(), QueueStats::empty());
        before.ended = vec![(JobState::Succeeded, 10), (JobState::Failed, 5)];
        now.ended = vec![(JobState::Succeeded, 30), (JobState::Failed, 4)];
        before.workers = vec![worker("a:1", 100)];
        now.workers = vec![worker("a:1", 350), worker("b:2", 9_000)];
        let rates = Rates::between(&before, &now, Duration::from_secs(4)).unwrap();
        assert_eq!(rates.ended, [(JobState::Succeeded, 5.0), (JobState::Failed, 0.0)]);
        assert_eq!(rates.frames, 62.5);
        assert_eq!(Rates::between(&before, &now, Duration::ZERO), None);
    }
}
