//! Tests that each planted damage is found, by its own name only, in evidence that is otherwise
//! sound.

use std::time::Duration;

use super::*;
use crate::soak::soak_evidence::{Census, Kills, RecoveryTimes, Sighting};

const WANTED: SoakMinimum = SoakMinimum { jobs: 2, kills: 3 };

fn bytes(name: &str) -> BytesSeen {
    BytesSeen { sha256: format!("sha of {name}"), bytes: name.len() as u64 }
}

fn receipt(id: &str, attempt: u64) -> ReceiptSeen {
    let BytesSeen { sha256, bytes } = bytes("hello");
    ReceiptSeen { attempt, sha256, bytes, location: format!("audio/{id}/a{attempt}-w.wav") }
}

fn ended(state: &str, attempt: u64, receipt: Option<ReceiptSeen>) -> Sighting {
    Sighting { state: state.to_owned(), attempt, receipt }
}

/// Makes evidence of three jobs: one before the faults, one with two attempts, one cancelled.
fn sound() -> SoakEvidence {
    let mut evidence = SoakEvidence {
        kills: Kills { workers: 2, gateways: 1, redis: 0 },
        recovery: RecoveryTimes { taken_back: vec![Duration::from_secs(16)], ..RecoveryTimes::default() },
        census: Census::default(),
        ..SoakEvidence::default()
    };
    for (id, attempt) in [("first", 1), ("second", 2)] {
        let end = ended("succeeded", attempt, Some(receipt(id, attempt)));
        evidence.accounts.push(Account {
            key: format!("key of {id}"),
            undisturbed: id == "first",
            ids: [id.to_owned()].into(),
            ends: vec![end.clone(), end.clone()],
            audio: Some(bytes("hello")),
            ..Account::default()
        });
        evidence.census.files.insert(receipt(id, attempt).location, bytes("hello"));
        evidence.watched.insert(id.to_owned(), vec![end.clone()]);
        evidence.census.jobs.insert(id.to_owned(), Record { seen: end, failure: None });
    }
    let end = ended("cancelled", 0, None);
    evidence.accounts.push(Account {
        key: "key of third".to_owned(),
        ids: ["third".to_owned()].into(),
        cancel_asked: true,
        ends: vec![end.clone()],
        ..Account::default()
    });
    evidence.census.jobs.insert("third".to_owned(), Record { seen: end, failure: None });
    evidence
}

/// Returns the damages of sound evidence after a change.
fn damages(plant: impl FnOnce(&mut SoakEvidence)) -> Vec<Damage> {
    let mut evidence = sound();
    plant(&mut evidence);
    let report = check(&evidence, WANTED);
    assert_eq!(report.passed(), report.damages.is_empty());
    let verdict = report.verdict(1);
    assert_eq!(verdict.starts_with("PASS"), report.passed(), "{verdict}");
    report.damages.into_keys().collect()
}

fn record<'a>(evidence: &'a mut SoakEvidence, id: &str) -> &'a mut Record {
    evidence.census.jobs.entry(id.to_owned()).or_insert_with(|| panic!("no {id}"))
}

#[test]
fn sound_evidence_passes() {
    assert_eq!(damages(|_| {}), []);
    let report = check(&sound(), WANTED);
    assert_eq!((report.accepted, report.states["succeeded"], report.states["cancelled"]), (2, 2, 1));
    assert_eq!((report.attempts[&1], report.attempts[&2], report.orphans), (1, 1, 0));
}

#[test]
fn lost_jobs_are_found() {
    let gone = |evidence: &mut SoakEvidence| {
        evidence.census.jobs.remove("second");
    };
    assert_eq!(damages(gone), [Damage::Lost]);
    let unended = |evidence: &mut SoakEvidence| {
        evidence.watched.clear();
        evidence.accounts[1].ends.clear();
        record(evidence, "second").seen = ended("running", 2, None);
    };
    assert_eq!(damages(unended), [Damage::Lost]);
    assert_eq!(damages(|evidence| evidence.accounts[1].told_missing = true), [Damage::Lost]);
    assert_eq!(damages(|evidence| evidence.accounts[2].ends.clear()), [Damage::Lost]);
}

#[test]
fn two_commits_are_found_by_whoever_saw_the_first() {
    let by_caller =
        |evidence: &mut SoakEvidence| evidence.accounts[1].ends[0] = ended("succeeded", 1, Some(receipt("second", 1)));
    assert_eq!(damages(by_caller), [Damage::CommittedTwice]);
    let by_observer = |evidence: &mut SoakEvidence| {
        let first = ended("succeeded", 1, Some(receipt("second", 1)));
        evidence.watched.entry("second".to_owned()).or_default().insert(0, first);
    };
    assert_eq!(damages(by_observer), [Damage::CommittedTwice]);
    let same_attempt = |evidence: &mut SoakEvidence| {
        let other = ReceiptSeen { location: "audio/second/a2-other.wav".to_owned(), ..receipt("second", 2) };
        evidence.accounts[1].ends[0] = ended("succeeded", 2, Some(other));
    };
    assert_eq!(damages(same_attempt), [Damage::CommittedTwice]);
    let back_from_the_end = |evidence: &mut SoakEvidence| {
        evidence.watched.entry("second".to_owned()).or_default().push(ended("running", 3, None));
    };
    assert_eq!(damages(back_from_the_end), [Damage::CommittedTwice]);
    let uncancelled =
        |evidence: &mut SoakEvidence| evidence.accounts[2].ends[0] = ended("succeeded", 1, Some(receipt("third", 1)));
    assert_eq!(damages(uncancelled), [Damage::CommittedTwice]);
}

#[test]
fn a_commit_of_an_attempt_that_had_lost_its_lease_is_found() {
    let stale = |evidence: &mut SoakEvidence| {
        let end = ended("succeeded", 2, Some(receipt("second", 1)));
        evidence.census.files.insert(receipt("second", 1).location, bytes("hello"));
        evidence.watched.clear();
        evidence.accounts[1].ends = vec![end.clone()];
        record(evidence, "second").seen = end;
    };
    assert_eq!(damages(stale), [Damage::StaleCommit]);
}

#[test]
fn wrong_bytes_are_found_wherever_they_are() {
    assert_eq!(damages(|evidence| evidence.accounts[1].audio = Some(bytes("hell"))), [Damage::WrongBytes]);
    let in_the_store = |evidence: &mut SoakEvidence| {
        evidence.census.files.insert(receipt("second", 2).location, bytes("hello hello"));
    };
    assert_eq!(damages(in_the_store), [Damage::WrongBytes]);
    // The whole chain agrees, but not with the undisturbed run.
    let everywhere = |evidence: &mut SoakEvidence| {
        let BytesSeen { sha256, bytes: length } = bytes("goodbye");
        let end = ended("succeeded", 2, Some(ReceiptSeen { sha256, bytes: length, ..receipt("second", 2) }));
        evidence.census.files.insert(receipt("second", 2).location, bytes("goodbye"));
        evidence.watched.clear();
        evidence.accounts[1].ends = vec![end.clone()];
        evidence.accounts[1].audio = Some(bytes("goodbye"));
        record(evidence, "second").seen = end;
    };
    assert_eq!(damages(everywhere), [Damage::WrongBytes]);
}

#[test]
fn missing_bytes_are_found() {
    assert_eq!(damages(|evidence| evidence.accounts[1].audio = None), [Damage::MissingBytes]);
    let no_file = |evidence: &mut SoakEvidence| {
        evidence.census.files.remove(&receipt("second", 2).location);
    };
    assert_eq!(damages(no_file), [Damage::MissingBytes]);
    let no_receipt = |evidence: &mut SoakEvidence| {
        let end = ended("succeeded", 2, None);
        evidence.watched.clear();
        evidence.accounts[1].ends = vec![end.clone()];
        record(evidence, "second").seen = end;
    };
    assert_eq!(damages(no_receipt), [Damage::MissingBytes]);
}

#[test]
fn keys_and_jobs_belong_together_one_by_one() {
    let ghost = |evidence: &mut SoakEvidence| {
        let record = record(evidence, "second").clone();
        evidence.census.jobs.insert("ghost".to_owned(), record);
    };
    assert_eq!(damages(ghost), [Damage::Idempotency]);
    let shared =
        |evidence: &mut SoakEvidence| evidence.accounts[2].ids = ["third".to_owned(), "first".to_owned()].into();
    assert!(damages(shared).contains(&Damage::Idempotency));
}

#[test]
fn leftovers_are_found() {
    let left = |evidence: &mut SoakEvidence| {
        evidence.census.leftovers.insert("csm:{q0}:s:live".to_owned(), 1);
    };
    assert_eq!(damages(left), [Damage::Leftover]);
}

#[test]
fn ends_without_a_reason_are_found() {
    assert_eq!(damages(|evidence| evidence.accounts[2].cancel_asked = false), [Damage::Unexplained]);
    let refused = |evidence: &mut SoakEvidence| evidence.accounts[1].refused = Some("422".to_owned());
    assert_eq!(damages(refused), [Damage::Unexplained]);
    let failed = |class: &str| {
        let class = class.to_owned();
        move |evidence: &mut SoakEvidence| {
            let end = ended("failed", 3, None);
            evidence.accounts[2].ends = vec![end.clone()];
            *record(evidence, "third") = Record { seen: end, failure: Some(class) };
        }
    };
    assert_eq!(damages(failed("resource")), [Damage::Unexplained]);
    assert_eq!(damages(failed("worker_lost")), []);
}

#[test]
fn slow_recoveries_and_dead_processes_are_found() {
    assert_eq!(damages(|evidence| evidence.recovery.taken_back.push(Duration::from_secs(21))), [Damage::SlowRecovery]);
    assert_eq!(damages(|evidence| evidence.recovery.claimed_again.push(Duration::from_secs(29))), []);
    assert_eq!(
        damages(|evidence| evidence.recovery.claimed_again.push(Duration::from_secs(31))),
        [Damage::SlowRecovery]
    );
    assert_eq!(damages(|evidence| evidence.recovery.open.push("second".to_owned())), [Damage::SlowRecovery]);
    assert_eq!(damages(|evidence| evidence.died.push("worker-1-1: exit 1".to_owned())), [Damage::Died]);
}

#[test]
fn too_little_is_no_pass() {
    assert_eq!(damages(|evidence| evidence.kills.workers = 1), [Damage::NotEnough]);
    let fewer = |evidence: &mut SoakEvidence| {
        evidence.accounts.pop();
        evidence.census.jobs.remove("third");
    };
    assert_eq!(damages(fewer), [Damage::NotEnough]);
}
