//! The verdict: holds what callers saw, what Redis holds and what lies in the store against the promise, and nothing else.
//! It shares no code with the queue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use super::soak_evidence::{Account, BytesSeen, ReceiptSeen, Record, SoakEvidence};
use super::{RECOVERY_LIMIT, RERUN_LIMIT, SoakReport};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// An accepted job without an end, without a record, or whose caller never heard of its end.
    Lost,
    /// Two different ends of one job, or an end that was not the last word.
    CommittedTwice,
    /// A result that its record's attempt did not make.
    StaleCommit,
    /// Bytes other than the receipt's, or other than those of the undisturbed run.
    WrongBytes,
    /// A result that cannot be read.
    MissingBytes,
    /// One key with two jobs, two keys with one job, or a job that nobody was told of.
    Idempotency,
    /// Something that ended jobs have left in the queue.
    Leftover,
    /// An end or a refusal that nothing explains.
    Unexplained,
    /// A job that took too long to come back from a worker that was gone.
    SlowRecovery,
    /// A process that ended by itself.
    Died,
    /// Too few jobs or kills to show anything.
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

/// What a run must have shown.
#[derive(Clone, Copy, Debug)]
pub struct SoakMinimum {
    /// Accepted jobs under load.
    pub jobs: usize,
    /// Kills.
    pub kills: usize,
}

/// Holds the evidence against the promise.
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

/// The bytes of each utterance as the undisturbed run gave them.
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

    /// One caller's job from its key to its bytes.
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

    /// Everybody who ever saw the job's end saw the same one.
    fn one_end(&mut self, account: &Account, id: &str, record: &Record) {
        let watched = self.evidence.watched.get(id).map(Vec::as_slice).unwrap_or_default();
        let other = account.ends.iter().chain(watched).find(|&seen| *seen != record.seen);
        if let Some(other) = other {
            let what = format!("{id}: once it was {other:?}, at the end {:?}", record.seen);
            self.damage(Damage::CommittedTwice, what);
        }
    }

    /// The result is the committed attempt's, and its bytes are right wherever they are read.
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

    /// No job has two keys, and none has no key at all.
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

    /// Nothing is left in the queue, and every recovery was in time.
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

/// Damages by kind, with one line for each.
pub type Damages = BTreeMap<Damage, Vec<String>>;

#[cfg(test)]
mod tests;
