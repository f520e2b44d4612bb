//! Recovery times of a dead worker's jobs. Each time begins when the worker could no longer renew
//! the lease. Two times are taken: until the queue has the job again, and until the job is claimed
//! again. The clock stands still while Redis is unreachable. The observer reports its reads in the
//! order of time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::LEASE;
use super::soak_evidence::{RecoveryTimes, Sighting};

/// Worker that cannot renew its leases.
#[derive(Clone, Copy, Debug)]
struct Absence {
    since: Instant,
    /// False while the worker may come back and find its leases in force.
    for_good: bool,
}

#[derive(Debug)]
struct Victim {
    since: Instant,
    owner: String,
    /// True if the queue has the job again.
    taken_back: bool,
}

/// Record of all recoveries. A worker is known by the first part of its name in Redis, which is new
/// at every start.
#[derive(Debug, Default)]
pub struct Recoveries {
    away: HashMap<String, Absence>,
    victims: HashMap<(String, u64), Victim>,
    /// Times without an answer of Redis.
    outages: Vec<(Instant, Instant)>,
    claimed_again: Vec<Duration>,
    taken_back: Vec<Duration>,
}

impl Recoveries {
    /// Records that the worker was killed.
    pub fn killed(&mut self, worker: &str, at: Instant) {
        let absence = self.away.entry(worker.to_owned()).or_insert(Absence { since: at, for_good: true });
        absence.for_good = true;
    }

    /// Records that the worker, or its connection to Redis, stands still.
    pub fn absent(&mut self, worker: &str, at: Instant) {
        self.away.entry(worker.to_owned()).or_insert(Absence { since: at, for_good: false });
    }

    /// Records that the worker is back. Its jobs count as lost only if their leases have run out
    /// meanwhile.
    pub fn back(&mut self, worker: &str, at: Instant) {
        if self.away.get(worker).is_none_or(|absence| absence.for_good) {
            return;
        }
        self.away.remove(worker);
        self.victims.retain(|_, victim| victim.owner != worker || at - victim.since > LEASE);
    }

    /// Records a time without an answer of Redis.
    pub fn without_redis(&mut self, from: Instant, until: Instant) {
        self.outages.push((from, until));
    }

    /// Records that a job runs under this owner.
    pub fn running(&mut self, id: &str, attempt: u64, owner: &str) {
        let worker = owner.split(':').next().unwrap_or_default();
        if let Some(absence) = self.away.get(worker) {
            let victim = || Victim { since: absence.since, owner: worker.to_owned(), taken_back: false };
            self.victims.entry((id.to_owned(), attempt)).or_insert_with(victim);
        }
    }

    /// Returns the jobs to read: lost ones that no worker has claimed again.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        self.victims.keys().map(|(id, _)| id.clone()).collect()
    }

    /// Returns true if the worker has been away for about as long as a lease lasts.
    #[must_use]
    pub fn is_overdue(&self, worker: &str, at: Instant) -> bool {
        self.away.get(worker).is_some_and(|absence| !absence.for_good && at - absence.since > LEASE.mul_f64(0.9))
    }

    /// Returns how many of the worker's jobs are lost and not claimed again.
    #[must_use]
    pub fn victims_of(&self, worker: &str) -> usize {
        self.victims.values().filter(|victim| victim.owner == worker).count()
    }

    /// Records the state of a job. Lost leases of earlier attempts, and of an ended job, are over.
    pub fn stands(&mut self, id: &str, seen: &Sighting, at: Instant) {
        let (claimed_again, taken_back, outages) = (&mut self.claimed_again, &mut self.taken_back, &self.outages);
        self.victims.retain(|(victim, attempt), lost| {
            if victim != id {
                return true;
            }
            let over = seen.is_final() || seen.attempt > *attempt;
            let took = time_with_redis(outages, lost.since, at);
            if !lost.taken_back && (over || seen.state == "queued") {
                lost.taken_back = true;
                taken_back.push(took);
            }
            if over {
                claimed_again.push(took);
            }
            !over
        });
    }

    /// Returns the times at the end of a run.
    #[must_use]
    pub fn finish(mut self) -> RecoveryTimes {
        self.claimed_again.sort_unstable();
        self.taken_back.sort_unstable();
        let open =
            self.victims.iter().map(|((id, attempt), victim)| format!("{id} attempt {attempt} of {}", victim.owner));
        let outages = self.outages.iter().map(|(from, until)| *until - *from).collect();
        RecoveryTimes { open: open.collect(), claimed_again: self.claimed_again, taken_back: self.taken_back, outages }
    }
}

/// Returns the time between two moments, less the outages between them.
fn time_with_redis(outages: &[(Instant, Instant)], since: Instant, at: Instant) -> Duration {
    let within = |&(from, until): &(Instant, Instant)| until.min(at).saturating_duration_since(from.max(since));
    (at - since).saturating_sub(outages.iter().map(within).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: &str, attempt: u64) -> Sighting {
        Sighting { state: state.to_owned(), attempt, receipt: None }
    }

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_killed_worker_s_job_counts_until_it_is_claimed_again() {
        let (mut recoveries, start) = (Recoveries::default(), Instant::now());
        recoveries.running("job", 1, "worker-0-1:uuid");
        recoveries.killed("worker-0-1", start);
        recoveries.running("job", 1, "worker-0-1:uuid");
        recoveries.running("other", 1, "worker-1-1:uuid");
        assert_eq!(recoveries.open(), ["job"]);
        recoveries.stands("job", &seen("queued", 1), start + second(15));
        assert_eq!(recoveries.open(), ["job"], "taken back, not claimed");
        recoveries.stands("job", &seen("running", 2), start + second(16));
        let done = recoveries.finish();
        assert_eq!((done.claimed_again, done.taken_back, done.open.len()), (vec![second(16)], vec![second(15)], 0));
    }

    #[test]
    fn a_short_pause_is_no_loss_and_a_long_one_is() {
        let (mut recoveries, start) = (Recoveries::default(), Instant::now());
        recoveries.absent("worker-0-1", start);
        recoveries.running("short", 1, "worker-0-1:uuid");
        recoveries.back("worker-0-1", start + second(3));
        assert!(recoveries.open().is_empty());

        recoveries.absent("worker-0-1", start);
        recoveries.running("long", 1, "worker-0-1:uuid");
        recoveries.stands("long", &seen("running", 2), start + second(17));
        recoveries.back("worker-0-1", start + second(18));
        assert_eq!(recoveries.finish().claimed_again, [second(17)]);
    }

    #[test]
    fn the_clock_stands_still_while_redis_is_away() {
        let (mut recoveries, start) = (Recoveries::default(), Instant::now());
        recoveries.without_redis(start, start + second(2));
        recoveries.killed("worker-0-1", start + second(1));
        recoveries.running("job", 1, "worker-0-1:uuid");
        recoveries.without_redis(start + second(5), start + second(14));
        recoveries.stands("job", &seen("queued", 1), start + second(20));
        recoveries.stands("job", &seen("running", 2), start + second(21));
        let done = recoveries.finish();
        assert_eq!((done.taken_back, done.claimed_again), (vec![second(9)], vec![second(10)]));
        assert_eq!(done.outages, [second(2), second(9)]);
    }

    #[test]
    fn a_lease_that_nobody_took_back_is_told() {
        let (mut recoveries, start) = (Recoveries::default(), Instant::now());
        recoveries.absent("worker-0-1", start);
        recoveries.running("forgotten", 1, "worker-0-1:uuid");
        recoveries.back("worker-0-1", start + second(25));
        assert_eq!(recoveries.finish().open, ["forgotten attempt 1 of worker-0-1"]);
    }

    #[test]
    fn a_kill_during_a_pause_counts_from_the_pause() {
        let (mut recoveries, start) = (Recoveries::default(), Instant::now());
        recoveries.absent("worker-0-1", start);
        recoveries.killed("worker-0-1", start + second(4));
        recoveries.back("worker-0-1", start + second(5));
        recoveries.running("job", 3, "worker-0-1:uuid");
        recoveries.stands("job", &seen("cancelled", 3), start + second(12));
        assert_eq!(recoveries.finish().claimed_again, [second(12)]);
    }
}
