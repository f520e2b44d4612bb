//! The probes of an orchestrator: `/livez` and `/readyz`, each over a connection of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Pause between two rounds.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// Longest wait for an answer: Kubernetes' default.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Failures in a row after which an orchestrator acts: Kubernetes' default.
pub(super) const STREAK_MAX: usize = 3;

/// Failures of one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProbeCount {
    /// Requests.
    pub(super) asked: usize,
    /// Requests that were not answered with 200 in time.
    pub(super) failed: usize,
    /// Failures in a row at this moment.
    streak: usize,
    /// The most failures in a row.
    pub(super) longest: usize,
}

impl ProbeCount {
    fn add(&mut self, passed: bool) {
        self.asked += 1;
        self.failed += usize::from(!passed);
        self.streak = if passed { 0 } else { self.streak + 1 };
        self.longest = self.longest.max(self.streak);
    }
}

/// Both probes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeRecord {
    /// `/livez`.
    pub(super) live: ProbeCount,
    /// `/readyz`.
    pub(super) ready: ProbeCount,
}

/// Probes of one gateway; clones share the record.
#[derive(Clone, Default)]
pub(super) struct Probe(Arc<Mutex<ProbeRecord>>);

impl Probe {
    /// Asks without end.
    pub(super) async fn ask(self, admin: SocketAddr) -> reqwest::Result<()> {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(ANSWER_LIMIT).build()?;
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let passed = async |path: &str| {
                let answer = http.get(format!("http://{admin}/{path}")).send().await;
                answer.is_ok_and(|answer| answer.status() == 200)
            };
            let (live, ready) = tokio::join!(passed("livez"), passed("readyz"));
            let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            record.live.add(live);
            record.ready.add(ready);
        }
    }

    /// Returns what was seen since the last call, and begins anew.
    pub(super) fn take(&self) -> ProbeRecord {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_counted_from_the_last_success() {
        let mut count = ProbeCount::default();
        for passed in [true, false, false, true, false] {
            count.add(passed);
        }
        assert_eq!((count.asked, count.failed, count.longest), (5, 3, 2));
    }
}
