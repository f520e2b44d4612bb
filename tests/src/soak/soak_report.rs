//! The result of a run as lines of text.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::RECOVERY_LIMIT;
use super::checker::{Damage, Damages};
use super::soak_evidence::{Kills, RecoveryTimes};

/// Lines shown of each kind of damage.
const EXAMPLES: usize = 5;

/// Figures and damages of a run.
#[derive(Clone, Debug, Default)]
pub struct SoakReport {
    /// Jobs accepted under load.
    pub accepted: usize,
    /// Ended jobs by state, those before the first fault included.
    pub states: BTreeMap<String, usize>,
    /// Ended jobs by number of attempts.
    pub attempts: BTreeMap<u64, usize>,
    /// Files that no record points to, left by attempts that were not committed.
    pub orphans: usize,
    /// Kills by kind.
    pub kills: Kills,
    /// Recovery times of lost leases, ascending.
    pub recovery: RecoveryTimes,
    /// Damages by kind.
    pub damages: Damages,
}

impl SoakReport {
    /// Returns true if no damage was found and the run was long enough.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.damages.is_empty()
    }

    /// Formats the verdict and its figures as one line.
    #[must_use]
    pub fn verdict(&self, seed: u64) -> String {
        let word = if self.passed() { "PASS" } else { "FAIL" };
        let reasons: Vec<_> = self.damages.iter().map(|(damage, all)| format!("{damage} ({})", all.len())).collect();
        let because = if reasons.is_empty() { String::new() } else { format!(" because of {}", reasons.join(", ")) };
        let ended: usize = self.states.values().sum();
        format!(
            "{word}{because}: accepted {}, ended {ended}, lost {}, committed twice {}, wrong or missing bytes {}, \
             idempotency {}, leftovers {}, kills {}, recovery max {:.1} s of {} s, claimed again max {:.1} s, seed {seed}",
            self.accepted,
            self.count(&[Damage::Lost]),
            self.count(&[Damage::CommittedTwice, Damage::StaleCommit]),
            self.count(&[Damage::WrongBytes, Damage::MissingBytes]),
            self.count(&[Damage::Idempotency]),
            self.count(&[Damage::Leftover]),
            self.kills.total(),
            at(&self.recovery.taken_back, 1.0),
            RECOVERY_LIMIT.as_secs(),
            at(&self.recovery.claimed_again, 1.0),
        )
    }

    fn count(&self, damages: &[Damage]) -> usize {
        damages.iter().filter_map(|damage| self.damages.get(damage)).map(Vec::len).sum()
    }
}

/// Returns the time in seconds that this share of the times stayed within; `times` are ascending.
fn at(times: &[Duration], share: f64) -> f64 {
    let place = (times.len() as f64 * share).ceil() as usize;
    times.get(place.max(1) - 1).copied().unwrap_or_default().as_secs_f64()
}

fn spread(times: &[Duration]) -> String {
    format!("p50 {:.1} s, p99 {:.1} s, max {:.1} s", at(times, 0.5), at(times, 0.99), at(times, 1.0))
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, value: String| writeln!(f, "{name:<30}{value}");
        let list = |pairs: Vec<String>| if pairs.is_empty() { "none".to_owned() } else { pairs.join(", ") };
        row(f, "accepted", self.accepted.to_string())?;
        row(f, "ended by state", list(self.states.iter().map(|(state, n)| format!("{state} {n}")).collect()))?;
        row(f, "attempts per job", list(self.attempts.iter().map(|(tries, n)| format!("{tries}: {n}")).collect()))?;
        let Kills { workers, gateways, redis } = self.kills;
        row(f, "killed", format!("workers {workers}, gateways {gateways}, redis {redis}"))?;
        let RecoveryTimes { taken_back, claimed_again, outages, .. } = &self.recovery;
        row(f, "recovery of lost leases", format!("{} leases, {}", taken_back.len(), spread(taken_back)))?;
        row(f, "  until they were claimed", spread(claimed_again))?;
        let away: Duration = outages.iter().sum();
        row(f, "Redis away, not counted", format!("{} times, {:.1} s in all", outages.len(), away.as_secs_f64()))?;
        row(f, "files of lost attempts", self.orphans.to_string())?;
        for damage in ALWAYS_SHOWN {
            row(f, &damage.to_string(), self.count(&[damage]).to_string())?;
        }
        for (damage, all) in &self.damages {
            for what in all.iter().take(EXAMPLES) {
                writeln!(f, "  {damage}: {what}")?;
            }
            if all.len() > EXAMPLES {
                writeln!(f, "  {damage}: and {} more", all.len() - EXAMPLES)?;
            }
        }
        Ok(())
    }
}

/// Kinds of damage that are shown even if there was none.
const ALWAYS_SHOWN: [Damage; 8] = [
    Damage::Lost,
    Damage::CommittedTwice,
    Damage::StaleCommit,
    Damage::WrongBytes,
    Damage::MissingBytes,
    Damage::Idempotency,
    Damage::Leftover,
    Damage::Unexplained,
];
