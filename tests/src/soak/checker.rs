//! The verdict: compares callers, Redis and the store with the promise, without any code of the
//! queue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use super::soak_evidence::{Account, BytesSeen, ReceiptSeen, Record, SoakEvidence};
use super::{RECOVERY_LIMIT, RERUN_LIMIT, SoakReport};

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// Accepted job without an end or a record, or whose caller never heard of its end.
    Lost,
    /// Two different ends of one job, or an end that changed later.
    CommittedTwice,
    /// Result that the attempt of its record did not make.
    StaleCommit,
    /// Bytes other than the receipt's, or other than those of the undisturbed run.
    WrongBytes,
    /// Result that cannot be read.
    MissingBytes,
    /// Key with two jobs, two keys with one job, or a job that no caller knows.
    Idempotency,
    /// Remains of ended jobs in the queue.
    Leftover,
    /// End or refusal without a cause.
    Unexplained,
    /// Job that took too long to come back from a lost worker.
    SlowRecovery,
    /// Process that ended by itself.
    Died,
    /// Too few jobs or kills to prove anything.
    NotEnough,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::CommittedTwice => "committed twice",
            Self::StaleCommit => "committed by a stale attempt",
            Self::WrongBytes => "wrong bytes",
            Self::MissingBytes => "missing bytes",
            Self::Idempotency => "idempotency",
            Self::Leftover => "leftover",
            Self::Unexplained => "unexplained",
            Self::SlowRecovery => "slow recovery",
            Self::Died => "process died by itself",
            Self::NotEnough => "not enough was shown",
        })
    }
}

/// Least numbers that a run must reach.
#[derive(Clone, Copy, Debug)]
pub struct SoakMinimum {
    /// Accepted jobs under load.
    pub jobs: usize,
    /// Number of kills.
    pub kills: usize,
}

/// Compares the evidence with the promise.
#[must_use]
pub fn check(evidence: &SoakEvidence, wanted: SoakMinimum) -> SoakReport {
    let mut checker = Checker {
        evidence,
        right: right_bytes(&evidence.accounts),
        report: SoakReport { kills: evidence.kills, recovery: evidence.recovery.clone(), ..SoakReport::default() },
    };
    for account in &evidence.accounts {
        checker.account(account);
    }
    checker.ids();
    checker.queue();
    checker.whole(wanted);
    checker.report
}

/// Returns the bytes of each utterance in the undisturbed run.
fn right_bytes(accounts: &[Account]) -> HashMap<usize, &BytesSeen> {
    let undisturbed = accounts.iter().filter(|account| account.undisturbed);
    let mut right = HashMap::new();
    for account in undisturbed {
        if let Some(audio) = &account.audio {
            right.entry(account.utterance).or_insert(audio);
        }
    }
    right
}

struct Checker<'a> {
    evidence: &'a SoakEvidence,
    right: HashMap<usize, &'a BytesSeen>,
    report: SoakReport,
}

impl<'a> Checker<'a> {
    fn damage(&mut self, damage: Damage, what: impl Into<String>) {
        self.report.damages.entry(damage).or_default().push(what.into());
    }

    /// Checks one caller's job from its key to its bytes.
    fn account(&mut self, account: &'a Account) {
        let key = &account.key;
        if let Some(answer) = &account.refused {
            self.damage(Damage::Unexplained, format!("key {key} was refused: {answer}"));
        }
        if account.ids.len() > 1 {
            self.damage(
                Damage::Idempotency,
                format!("key {key} was given {} jobs: {:?}", account.ids.len(), account.ids),
            );
        }
        if account.ids.is_empty() {
            return;
        }
        self.report.accepted += usize::from(!account.undisturbed);
        for id in &account.ids {
            let Some(record) = self.evidence.census.jobs.get(id) else {
                self.damage(Damage::Lost, format!("{id}: its record is gone"));
                continue;
            };
            self.job(account, id, record);
        }
    }

    fn job(&mut self, account: &'a Account, id: &str, record: &'a Record) {
        if account.told_missing {
            self.damage(Damage::Lost, format!("{id}: its caller was told that there is no such job"));
        }
        if !record.seen.is_final() {
            return self.damage(Damage::Lost, format!("{id}: still {} at the end", record.seen.state));
        }
        if account.ends.is_empty() {
            self.damage(Damage::Lost, format!("{id}: {}, and its caller never heard of it", record.seen.state));
        }
        *self.report.states.entry(record.seen.state.clone()).or_default() += 1;
        *self.report.attempts.entry(record.seen.attempt).or_default() += 1;
        self.one_end(account, id, record);
        match (record.seen.state.as_str(), record.failure.as_deref()) {
            ("succeeded", _) => self.result(account, id, record),
            ("cancelled", _) if account.cancel_asked => {}
            ("failed", Some("worker_lost")) => {}
            (state, failure) => {
                self.damage(Damage::Unexplained, format!("{id}: {state}, failure {}", failure.unwrap_or("none")));
            }
        }
    }

    /// Checks that every observer of the job's end saw the same end.
    fn one_end(&mut self, account: &Account, id: &str, record: &Record) {
        let watched = self.evidence.watched.get(id).map(Vec::as_slice).unwrap_or_default();
        let other = account.ends.iter().chain(watched).find(|&seen| *seen != record.seen);
        if let Some(other) = other {
            let what = format!("{id}: once it was {other:?}, at the end {:?}", record.seen);
            self.damage(Damage::CommittedTwice, what);
        }
    }

    /// Checks that the result is the committed attempt's, and that its bytes are right wherever
    /// they are read.
    fn result(&mut self, account: &Account, id: &str, record: &Record) {
        let Some(receipt) = &record.seen.receipt else {
            return self.damage(Damage::MissingBytes, format!("{id}: succeeded without a receipt"));
        };
        let prefix = format!("audio/{id}/a{}-", record.seen.attempt);
        if receipt.attempt != record.seen.attempt || !receipt.location.starts_with(&prefix) {
            let what = format!("{id}: attempt {}, receipt {receipt:?}", record.seen.attempt);
            self.damage(Damage::StaleCommit, what);
        }
        match self.right.get(&account.utterance).copied() {
            None => self.damage(Damage::NotEnough, format!("utterance {} has no undisturbed bytes", account.utterance)),
            Some(right) => self.same(id, "the receipt", receipt, right),
        }
        match &account.audio {
            None => self.damage(Damage::MissingBytes, format!("{id}: its caller could not download it")),
            Some(audio) => self.same(id, "the download", receipt, audio),
        }
        match self.evidence.census.files.get(&receipt.location) {
            None => self.damage(Damage::MissingBytes, format!("{id}: no file {}", receipt.location)),
            Some(file) => self.same(id, "the stored file", receipt, file),
        }
    }

    fn same(&mut self, id: &str, what: &str, receipt: &ReceiptSeen, seen: &BytesSeen) {
        if (receipt.bytes, &receipt.sha256) != (seen.bytes, &seen.sha256) {
            let says = format!("{} bytes {}, not {} bytes {}", seen.bytes, seen.sha256, receipt.bytes, receipt.sha256);
            self.damage(Damage::WrongBytes, format!("{id}: {what} against the receipt: {says}"));
        }
    }

    /// Checks that every job has exactly one key.
    fn ids(&mut self) {
        let mut known = HashSet::new();
        for account in &self.evidence.accounts {
            for id in &account.ids {
                if !known.insert(id) {
                    self.damage(Damage::Idempotency, format!("{id}: given for two keys, {} among them", account.key));
                }
            }
        }
        let ghosts: BTreeSet<_> = self.evidence.census.jobs.keys().filter(|id| !known.contains(id)).collect();
        for id in ghosts {
            self.damage(Damage::Idempotency, format!("{id}: a job that no caller was told of"));
        }
    }

    /// Checks that the queue is empty, and that every recovery was in time.
    fn queue(&mut self) {
        for (key, amount) in &self.evidence.census.leftovers {
            self.damage(Damage::Leftover, format!("{key}: {amount}"));
        }
        let recovery = &self.evidence.recovery;
        for open in &recovery.open {
            self.damage(Damage::SlowRecovery, format!("{open}: never claimed again"));
        }
        let limits = [
            ("until the queue had its job again", &recovery.taken_back, RECOVERY_LIMIT),
            ("until it was claimed again", &recovery.claimed_again, RERUN_LIMIT),
        ];
        for (what, times, limit) in limits {
            for time in times.iter().filter(|&&time| time > limit) {
                self.damage(Damage::SlowRecovery, format!("{:.1} s {what}", time.as_secs_f64()));
            }
        }
        for process in &self.evidence.died {
            self.damage(Damage::Died, process.clone());
        }
        let referenced: HashSet<_> =
            self.evidence.census.jobs.values().filter_map(|job| Some(&job.seen.receipt.as_ref()?.location)).collect();
        self.report.orphans = self.evidence.census.files.keys().filter(|key| !referenced.contains(key)).count();
    }

    fn whole(&mut self, wanted: SoakMinimum) {
        let (accepted, kills) = (self.report.accepted, self.report.kills.total());
        if accepted < wanted.jobs {
            self.damage(Damage::NotEnough, format!("{accepted} jobs accepted of {}", wanted.jobs));
        }
        if kills < wanted.kills {
            self.damage(Damage::NotEnough, format!("{kills} kills of {}", wanted.kills));
        }
    }
}

/// Lines about damages, by kind.
pub type Damages = BTreeMap<Damage, Vec<String>>;

#[cfg(test)]
mod tests;
