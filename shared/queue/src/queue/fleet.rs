//! Agreement of all processes of a fleet on what a job means: shards, model, window, mark.
//!
//! The fleet document in Redis holds these values. The first process writes the document, every
//! other one compares. A process that differs enqueues and claims nothing. An agreement is used for
//! [`AGREED_FOR`] and keeps the document for [`DOCUMENT_TTL`], so no process works under a document
//! that another one has replaced.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::script::call;
use super::{Queue, QueueError, ms};

/// Time for which a process relies on an agreement before it compares again.
const AGREED_FOR: Duration = Duration::from_secs(5);
/// Time that the document outlives the last process that agreed with it. A fleet of other values can
/// start after that.
const DOCUMENT_TTL: Duration = Duration::from_secs(60);
/// Interval between two log lines about the same disagreement.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Values on which the processes of a fleet must agree. No secret is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetIdentity {
    /// Name of the model.
    pub model: String,
    /// Positions of the model's window.
    pub window: usize,
    /// Public ids of the watermark keys that the process knows, the current one first; empty in a
    /// process without a key.
    pub marks: Vec<String>,
}

/// Difference between a process and its fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FleetMismatch {
    /// For each value that differs: its name, the fleet's value, the process' value.
    pub differences: Vec<[String; 3]>,
}

impl fmt::Display for FleetMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this process is set up differently from its fleet")?;
        for (place, [name, fleet, mine]) in self.differences.iter().enumerate() {
            let comma = if place == 0 { ": " } else { "; " };
            write!(f, "{comma}{name} is {mine:?} here and {fleet:?} in the fleet")?;
        }
        Ok(())
    }
}

/// Identity of this process, and when it was last compared.
pub(super) struct FleetMember {
    pub(super) identity: FleetIdentity,
    times: Mutex<MemberTimes>,
}

#[derive(Default)]
struct MemberTimes {
    agreed: Option<Instant>,
    logged: Option<Instant>,
}

impl FleetMember {
    pub(super) fn new(identity: FleetIdentity) -> Self {
        Self { identity, times: Mutex::default() }
    }

    fn times<T>(&self, with: impl FnOnce(&mut MemberTimes) -> T) -> T {
        with(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn agreed_lately(&self) -> bool {
        self.times(|times| times.agreed.is_some_and(|at| at.elapsed() < AGREED_FOR))
    }

    /// Records the outcome of a comparison, and logs a difference from time to time.
    fn record(&self, begun: Instant, outcome: Result<(), FleetMismatch>) -> Result<(), FleetMismatch> {
        let log = self.times(|times| {
            times.agreed = outcome.is_ok().then_some(begun);
            let log = outcome.is_err() && times.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY);
            times.logged = if outcome.is_ok() {
                None
            } else if log {
                Some(begun)
            } else {
                times.logged
            };
            log
        });
        if let (true, Err(mismatch)) = (log, &outcome) {
            tracing::error!(error = %mismatch, "disagreeing with fleet, taking no jobs");
        }
        outcome
    }
}

impl Queue {
    /// Checks that this process agrees with its fleet, if it was given an identity by
    /// [`Queue::of_fleet`]. Asks Redis every few seconds only.
    ///
    /// # Errors
    /// [`QueueError::OtherFleet`] if the process differs.
    pub async fn agree(&self) -> Result<(), QueueError> {
        let Some(member) = &self.member else { return Ok(()) };
        if member.agreed_lately() {
            return Ok(());
        }
        let (begun, identity) = (Instant::now(), &member.identity);
        let Some(first_shard) = self.shards.first() else { return Ok(()) };
        let mut script = call(&self.scripts.agree, first_shard);
        script
            .arg(ms(DOCUMENT_TTL))
            .arg(self.shards.len())
            .arg(&identity.model)
            .arg(identity.window)
            .arg(identity.marks.first().map_or("", String::as_str))
            .arg(identity.marks.join(" "));
        let differs: Vec<String> = self.redis.script(&script).await?;
        let (differences, _) = differs.as_chunks::<3>();
        let outcome =
            if differences.is_empty() { Ok(()) } else { Err(FleetMismatch { differences: differences.to_vec() }) };
        Ok(member.record(begun, outcome)?)
    }

    /// Returns the model that this process asks for or runs; empty if it was given no identity.
    pub(super) fn model(&self) -> &str {
        self.member.as_ref().map_or("", |member| &member.identity.model)
    }
}
