//! Figures and verdict of each attack.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::honest_caller::HonestRecord;
use super::probe::{ProbeRecord, STREAK_MAX};
use super::{END_LIMIT, HONEST_LIMIT, RECOVERY_LIMIT, REST_FACTOR};

/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// How the gateway ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// During the attack, for this reason.
    Died(String),
    /// At SIGTERM.
    Ended {
        /// True if the honest caller's last job succeeded before.
        works: bool,
        /// Time from the signal.
        after: Duration,
        /// Exit status.
        status: String,
    },
    /// Not at SIGTERM.
    Hung,
}

/// Report of one attack.
#[derive(Clone, Debug)]
pub struct AttackReport {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) attackers: usize,
    pub(super) duration: Duration,
    /// Memory that the gateway may use, in bytes.
    pub(super) limit: u64,
    /// Resident bytes before the attack.
    pub(super) rest: u64,
    /// The most resident bytes.
    pub(super) peak: u64,
    /// Resident bytes at the end of the recovery.
    pub(super) after: u64,
    /// Time from the attack's end until the memory was that of rest; `None` if that took too long.
    pub(super) recovery: Option<Duration>,
    pub(super) honest: HonestRecord,
    pub(super) probes: ProbeRecord,
    pub(super) ending: Ending,
    /// Rounds of the attackers by outcome.
    pub(super) outcomes: BTreeMap<String, usize>,
    /// What the gateway did and must refuse.
    pub(super) breaches: Vec<String>,
}

/// Reports of all attacks.
#[derive(Clone, Debug, Default)]
pub struct SiegeReport {
    pub(super) attacks: Vec<AttackReport>,
}

impl AttackReport {
    /// Returns the name of the attack.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what went wrong, without figures that depend on the machine's other work.
    #[must_use]
    pub fn damages(&self) -> Vec<String> {
        let mut damages = self.breaches.clone();
        match &self.ending {
            Ending::Died(why) => damages.push(format!("the gateway ended: {why}")),
            Ending::Hung => damages.push("SIGTERM did not end the gateway".to_owned()),
            Ending::Ended { works: false, .. } => {
                damages.push("the honest caller's last job did not succeed".to_owned());
            }
            Ending::Ended { .. } => {}
        }
        if self.peak > self.limit {
            damages.push(format!("{:.0} MiB are over the limit", self.peak as f64 / MIB));
        }
        if self.recovery.is_none() && !matches!(self.ending, Ending::Died(_)) {
            let after = self.after as f64 / MIB;
            damages
                .push(format!("{after:.0} MiB after {} s are over {REST_FACTOR}x of rest", RECOVERY_LIMIT.as_secs()));
        }
        if self.honest.served() == 0 {
            damages.push("the honest caller was not served".to_owned());
        }
        for (name, count) in [("livez", self.probes.live), ("readyz", self.probes.ready)] {
            if count.longest >= STREAK_MAX {
                damages.push(format!("/{name} failed {} times in a row", count.longest));
            }
        }
        damages
    }

    /// Returns what was too late.
    #[must_use]
    pub fn delays(&self) -> Vec<String> {
        let mut delays = Vec::new();
        if self.honest.unserved > 0 {
            delays.push(format!("{} honest jobs were not accepted in time", self.honest.unserved));
        }
        let p95 = percentile(&self.honest.waits, 0.95);
        if p95 > HONEST_LIMIT {
            delays.push(format!("p95 of the honest caller is {} ms", p95.as_millis()));
        }
        if let Ending::Ended { after, .. } = self.ending
            && after > END_LIMIT
        {
            delays.push(format!("the gateway ended {:.1} s after SIGTERM", after.as_secs_f64()));
        }
        delays
    }

    /// Returns true if the attack did no damage and nothing was late.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.damages().is_empty() && self.delays().is_empty()
    }

    fn percentiles(&self) -> [u128; 3] {
        [0.5, 0.95, 1.0].map(|part| percentile(&self.honest.waits, part).as_millis())
    }

    fn recovered(&self) -> String {
        self.recovery.map_or_else(|| "no".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()))
    }

    fn ended(&self) -> String {
        match &self.ending {
            Ending::Died(why) => format!("ended during the attack: {why}"),
            Ending::Ended { after, status, .. } => format!("{:.1} s after SIGTERM, {status}", after.as_secs_f64()),
            Ending::Hung => "not at SIGTERM".to_owned(),
        }
    }
}

impl fmt::Display for AttackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, longest] = self.percentiles();
        let [rest, peak, after] = [self.rest, self.peak, self.after].map(|bytes| bytes as f64 / MIB);
        let (honest, probes) = (&self.honest, &self.probes);
        let seconds = self.duration.as_secs_f64();
        writeln!(f, "{}: {} attackers for {seconds:.1} s: {}", self.name, self.attackers, self.what)?;
        writeln!(
            f,
            "  memory    rest {rest:.1} MiB, peak {peak:.1}, after {after:.1}; at rest in: {}",
            self.recovered()
        )?;
        writeln!(
            f,
            "  honest    {} served, {} not; p50 {p50} ms, p95 {p95} ms, longest {longest} ms; refusals: {}",
            honest.served(),
            honest.unserved,
            counts(&honest.refusals)
        )?;
        writeln!(
            f,
            "  probes    {} asked; /livez failed {}, /readyz {}",
            probes.live.asked, probes.live.failed, probes.ready.failed
        )?;
        writeln!(f, "  attackers {}", counts(&self.outcomes))?;
        writeln!(f, "  end       {}", self.ended())?;
        let faults = [self.damages(), self.delays()].concat();
        if faults.is_empty() { write!(f, "  PASS") } else { write!(f, "  FAIL: {}", faults.join("; ")) }
    }
}

impl SiegeReport {
    /// Returns the reports, in the order in which the attacks ran.
    #[must_use]
    pub fn attacks(&self) -> &[AttackReport] {
        &self.attacks
    }

    /// Returns true if every attack passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.attacks.iter().all(AttackReport::passed)
    }
}

impl fmt::Display for SiegeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for attack in &self.attacks {
            let verdict = if attack.passed() { "PASS" } else { "FAIL" };
            let ([_, p95, longest], peak) = (attack.percentiles(), attack.peak as f64 / MIB);
            write!(
                f,
                "{verdict} {:<22} peak {peak:>5.1} MiB, honest p95 {p95} ms, longest {longest} ms, ",
                attack.name
            )?;
            writeln!(f, "at rest in {}", attack.recovered())?;
        }
        let passed = self.attacks.iter().filter(|attack| attack.passed()).count();
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        write!(f, "{verdict}: {passed} of {} attacks passed", self.attacks.len())
    }
}

/// Returns the time that a part of all times does not exceed; zero if there are none.
fn percentile(times: &[Duration], part: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    let all: Vec<_> = counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times: Vec<_> = (1..=20).rev().map(Duration::from_millis).collect();
        let ms = |part| percentile(&times, part).as_millis();
        assert_eq!([ms(0.5), ms(0.95), ms(1.0)], [10, 19, 20]);
        assert_eq!(percentile(&[], 0.95), Duration::ZERO);
    }

    #[test]
    fn each_fault_alone_fails_an_attack() {
        let honest = HonestRecord { waits: vec![Duration::from_millis(5)], ..HonestRecord::default() };
        let ending = Ending::Ended { works: true, after: Duration::from_secs(1), status: "exit status: 0".to_owned() };
        let good = AttackReport {
            name: "none",
            what: "nothing",
            attackers: 1,
            duration: Duration::from_secs(1),
            limit: 100,
            rest: 10,
            peak: 20,
            after: 10,
            recovery: Some(Duration::ZERO),
            honest: honest.clone(),
            probes: ProbeRecord::default(),
            ending,
            outcomes: BTreeMap::new(),
            breaches: Vec::new(),
        };
        assert!(good.passed(), "{good}");
        let late = Ending::Ended { works: true, after: END_LIMIT * 2, status: String::new() };
        let idle = Ending::Ended { works: false, after: Duration::ZERO, status: String::new() };
        let slow = HonestRecord { waits: vec![HONEST_LIMIT * 2], ..HonestRecord::default() };
        let bad = [
            AttackReport { peak: 101, ..good.clone() },
            AttackReport { recovery: None, ..good.clone() },
            AttackReport { honest: HonestRecord::default(), ..good.clone() },
            AttackReport { honest: slow, ..good.clone() },
            AttackReport {
                honest: HonestRecord { unserved: 1, waits: vec![Duration::ZERO; 2], ..honest },
                ..good.clone()
            },
            AttackReport { ending: Ending::Died("killed".to_owned()), ..good.clone() },
            AttackReport { ending: Ending::Hung, ..good.clone() },
            AttackReport { ending: late, ..good.clone() },
            AttackReport { ending: idle, ..good.clone() },
            AttackReport { breaches: vec!["a page".to_owned()], ..good.clone() },
        ];
        for (number, report) in bad.iter().enumerate() {
            assert!(!report.passed(), "{number}: {report}");
        }
    }
}
