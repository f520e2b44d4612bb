//! Observations of the witnesses as plain values. The checker reads nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Observed state of a job at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// State of the job.
    pub state: String,
    /// Number of claims so far.
    pub attempt: u64,
    /// Receipt of the job, if it has one.
    pub receipt: Option<ReceiptSeen>,
}

/// Promises of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptSeen {
    /// Attempt that claims to have made the audio.
    pub attempt: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// Key in the store.
    pub location: String,
}

impl Sighting {
    /// Returns true for a state that no job leaves.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled" | "expired")
    }
}

/// Digest and length of bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesSeen {
    /// SHA-256 of the bytes, hex.
    pub sha256: String,
    /// Number of bytes.
    pub bytes: u64,
}

/// Observations of one caller of its job over HTTP.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Idempotency key, or the id that the caller chose.
    pub key: String,
    /// Tenant of the caller.
    pub tenant: &'static str,
    /// Index of the utterance in the plan.
    pub utterance: usize,
    /// True for the jobs before the first fault; their bytes are the right ones.
    pub undisturbed: bool,
    /// Every id that the caller was given for its key.
    pub ids: BTreeSet<String>,
    /// Answer that no correct request should get.
    pub refused: Option<String>,
    /// True if the caller asked for a cancel.
    pub cancel_asked: bool,
    /// Final records that the caller was shown, in the order of time.
    pub ends: Vec<Sighting>,
    /// True if the caller was told that its accepted job does not exist.
    pub told_missing: bool,
    /// Audio that the caller downloaded.
    pub audio: Option<BytesSeen>,
}

/// Hash of a job in Redis at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// State, attempt and receipt.
    pub seen: Sighting,
    /// Class of the last failure, if there was one.
    pub failure: Option<String>,
}

/// Redis and the store at the end.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// All jobs by id.
    pub jobs: HashMap<String, Record>,
    /// Amounts that should be zero and are not.
    pub leftovers: BTreeMap<String, i64>,
    /// Files of the store by key.
    pub files: HashMap<String, BytesSeen>,
}

/// Number of kills by kind of process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// Kills of workers.
    pub workers: usize,
    /// Kills of gateways.
    pub gateways: usize,
    /// Kills of Redis.
    pub redis: usize,
}

impl Kills {
    /// Returns the number of all kills.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.workers + self.gateways + self.redis
    }
}

/// Times that jobs took to come back from lost workers.
#[derive(Clone, Debug, Default)]
pub struct RecoveryTimes {
    /// Time of each lost lease until the queue had its job again, or the job had ended.
    pub taken_back: Vec<Duration>,
    /// Time of each lost lease until its job was claimed again or had ended.
    pub claimed_again: Vec<Duration>,
    /// Lost leases whose jobs were never seen again.
    pub open: Vec<String>,
    /// Times without an answer of Redis; the times above leave them out.
    pub outages: Vec<Duration>,
}

/// All observations of a run.
#[derive(Clone, Debug, Default)]
pub struct SoakEvidence {
    /// Observations of the callers.
    pub accounts: Vec<Account>,
    /// Different sightings of ended jobs in Redis, in the order of time.
    pub watched: HashMap<String, Vec<Sighting>>,
    /// Redis and the store at the end.
    pub census: Census,
    /// Kills by the driver.
    pub kills: Kills,
    /// Processes that ended without a kill.
    pub died: Vec<String>,
    /// Recovery times that the observer measured.
    pub recovery: RecoveryTimes,
}
