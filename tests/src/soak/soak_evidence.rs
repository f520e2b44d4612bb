//! What the witnesses saw, as plain values: the checker reads nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// A job as somebody saw it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its state.
    pub state: String,
    /// Claims so far.
    pub attempt: u64,
    /// Its receipt, if it has one.
    pub receipt: Option<ReceiptSeen>,
}

/// What a receipt promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptSeen {
    /// The attempt that claims to have made the audio.
    pub attempt: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// Key in the store.
    pub location: String,
}

impl Sighting {
    /// True for a state that no job leaves.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled" | "expired")
    }
}

/// Bytes that somebody read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesSeen {
    /// Their SHA-256, hex.
    pub sha256: String,
    /// How many.
    pub bytes: u64,
}

/// What one caller saw of its job over HTTP.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its idempotency key, or the id it chose.
    pub key: String,
    /// What it asked to be spoken, as a number in the plan.
    pub utterance: usize,
    /// True for the jobs before the first fault; they tell which bytes are right.
    pub undisturbed: bool,
    /// Every id that it was given for its key.
    pub ids: BTreeSet<String>,
    /// An answer that no correct request should get.
    pub refused: Option<String>,
    /// Whether it asked for a cancel.
    pub cancel_asked: bool,
    /// Final records it was shown, in the order of time.
    pub ends: Vec<Sighting>,
    /// Set when it was told that its accepted job does not exist.
    pub told_missing: bool,
    /// The audio it downloaded.
    pub audio: Option<BytesSeen>,
}

/// A job's hash in Redis at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// State, attempt and receipt.
    pub seen: Sighting,
    /// Class of the last failure, if it had one.
    pub failure: Option<String>,
}

/// Redis and the store when all is over.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// All jobs by id.
    pub jobs: HashMap<String, Record>,
    /// What should be empty and is not, with how much is in it.
    pub leftovers: BTreeMap<String, i64>,
    /// Files of the store by key.
    pub files: HashMap<String, BytesSeen>,
}

/// How often each kind of process was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// Workers.
    pub workers: usize,
    /// Gateways.
    pub gateways: usize,
    /// Redis.
    pub redis: usize,
}

impl Kills {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.workers + self.gateways + self.redis
    }
}

/// How long jobs took to come back from workers that were gone.
#[derive(Clone, Debug, Default)]
pub struct RecoveryTimes {
    /// Of each lost lease: until the queue had its job again, or it had ended.
    pub taken_back: Vec<Duration>,
    /// Of each lost lease: until its job was claimed again or had ended.
    pub claimed_again: Vec<Duration>,
    /// Lost leases whose jobs were never seen again.
    pub open: Vec<String>,
    /// How long Redis did not answer, each time; these do not count above.
    pub outages: Vec<Duration>,
}

/// Everything that was seen in a run.
#[derive(Clone, Debug, Default)]
pub struct SoakEvidence {
    /// By the callers.
    pub accounts: Vec<Account>,
    /// By the observer in Redis, of jobs that had ended: different sightings, in the order of time.
    pub watched: HashMap<String, Vec<Sighting>>,
    /// At the end.
    pub census: Census,
    /// By the driver.
    pub kills: Kills,
    /// By the driver: processes that ended though nobody killed them.
    pub died: Vec<String>,
    /// By the observer.
    pub recovery: RecoveryTimes,
}
