//! The circuit breaker of a worker: open while a shared part is out of order.
//!
//! A part goes through three stages. It is *open* from its first fault until its check passes.
//! Then it is *half open*: work that was kept is tried, but nothing is claimed. Success closes it,
//! and a further fault opens it again. A small probe that fits on a nearly full disk therefore
//! admits no jobs before the kept files have fitted too.

use std::collections::BTreeMap;
use std::time::Duration;

use csm_shared::process::telemetry::SHARED_PART_BROKEN;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{SharedFault, SharedPart};

/// Longest time for which work is kept while a shared part is out of order. The job is then given
/// back, for a worker whose part works.
pub const KEEP_MAX: Duration = Duration::from_hours(1);

/// Failure of work that uses a shared part.
#[derive(Debug, PartialEq, Eq)]
pub enum PartError<E> {
    /// Fault of the part: the work is worth keeping.
    Shared(SharedFault),
    /// Failure of the work itself.
    Own(E),
}

impl<E> PartError<E> {
    /// Converts the failure of the work itself.
    pub(crate) fn own_into<F: From<E>>(self) -> PartError<F> {
        match self {
            Self::Shared(fault) => PartError::Shared(fault),
            Self::Own(error) => PartError::Own(error.into()),
        }
    }
}

/// Circuit breaker of a worker. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    parts: watch::Sender<Parts>,
}

/// State of all shared parts.
#[derive(Debug, Default)]
struct Parts {
    /// Parts that are out of order.
    broken: BTreeMap<SharedPart, Broken>,
    /// Number of pieces of work that wait for each part.
    waiting: BTreeMap<SharedPart, usize>,
}

/// State of a part that is out of order.
#[derive(Debug)]
struct Broken {
    reason: String,
    half_open: bool,
}

impl Breaker {
    /// Records a fault, which opens the breaker.
    pub fn trip(&self, fault: &SharedFault) {
        self.parts.send_modify(|parts| {
            let broken = Broken { reason: fault.reason.clone(), half_open: false };
            if parts.broken.insert(fault.part, broken).is_none() {
                tracing::error!(part = %fault.part, reason = %fault.reason, "shared part failed, claiming no jobs");
                record(fault.part, true);
            }
        });
    }

    /// Admits one try of the work that waits for a part, because the part's check has passed.
    pub(super) fn half_open(&self, part: SharedPart) {
        self.parts.send_modify(|parts| {
            if let Some(broken) = parts.broken.get_mut(&part) {
                broken.half_open = true;
            }
        });
    }

    /// Records that a part works again.
    fn close(&self, part: SharedPart) {
        self.parts.send_modify(|parts| {
            if parts.broken.remove(&part).is_some() {
                tracing::info!(part = %part, "shared part works again");
                record(part, false);
            }
        });
    }

    /// Returns whether all parts work, as far as is known.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.parts.borrow().broken.is_empty()
    }

    /// Waits until all parts work.
    pub async fn closed(&self) {
        self.wait_for(|parts| parts.broken.is_empty()).await;
    }

    /// Returns what is out of order, for the readiness probe; `None` if all parts work.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let parts = self.parts.borrow();
        let reasons = parts.broken.iter().map(|(part, Broken { reason, .. })| format!("{part}: {reason}"));
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        (!reasons.is_empty()).then_some(reasons)
    }

    /// Waits until [`Self::reason`] may differ from `told`.
    pub async fn reason_changed(&self, told: Option<&str>) {
        let mut parts = self.parts.subscribe();
        while self.reason().as_deref() == told {
            if parts.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for a part that is open, and returns it.
    pub(super) async fn broken(&self) -> SharedPart {
        let mut found = None;
        self.wait_for(|parts| {
            found = parts.broken.iter().find(|(_, broken)| !broken.half_open).map(|(part, _)| *part);
            found.is_some()
        })
        .await;
        // Without a part the sender is gone, and the caller with it.
        found.unwrap_or(SharedPart::Store)
    }

    /// Waits for the outcome of the tries that [`Self::half_open`] admitted. If no work waits for
    /// the part, closes it. Returns false if the part failed again.
    pub(super) async fn trial_passed(&self, part: SharedPart) -> bool {
        let mut passed = false;
        self.wait_for(|parts| match parts.broken.get(&part) {
            None => {
                passed = true;
                true
            }
            Some(broken) if !broken.half_open => true,
            Some(_) if parts.waiting.get(&part).is_none_or(|&waiting| waiting == 0) => {
                passed = true;
                true
            }
            Some(_) => false,
        })
        .await;
        if passed {
            self.close(part);
        }
        passed
    }

    /// Repeats `work` until it succeeds or fails by itself. After a fault of a shared part, waits
    /// until the part's check passes, for up to [`KEEP_MAX`] in all. `work` gets the number of
    /// tries that were made after a passed check.
    ///
    /// # Errors
    /// [`PartError::Shared`] with the last fault if the time is over.
    pub async fn outlast<T, E, F>(&self, work: impl FnMut(u32) -> F) -> Result<T, PartError<E>>
    where
        F: Future<Output = Result<T, PartError<E>>>,
    {
        self.outlast_for(KEEP_MAX, work).await
    }

    async fn outlast_for<T, E, F>(&self, limit: Duration, mut work: impl FnMut(u32) -> F) -> Result<T, PartError<E>>
    where
        F: Future<Output = Result<T, PartError<E>>>,
    {
        let until = Instant::now() + limit;
        let (mut trials, mut waiting) = (0, None);
        loop {
            let fault = match work(trials).await {
                Err(PartError::Shared(fault)) => fault,
                done => {
                    if let (Ok(_), Some(Waiting { part, .. })) = (&done, &waiting) {
                        self.close(*part);
                    }
                    return done;
                }
            };
            // Counted before the breaker opens, so that a passed check waits for this work.
            waiting.get_or_insert_with(|| Waiting::begin(self.clone(), fault.part));
            self.trip(&fault);
            let admitted = |parts: &Parts| parts.broken.get(&fault.part).is_none_or(|broken| broken.half_open);
            if timeout_at(until, self.wait_for(admitted)).await.is_err() {
                return Err(PartError::Shared(fault));
            }
            trials += 1;
        }
    }

    async fn wait_for(&self, condition: impl FnMut(&Parts) -> bool) {
        // The sender lives as long as `self`, so this cannot fail.
        drop(self.parts.subscribe().wait_for(condition).await);
    }
}

/// Registration of work that waits for a part; dropping it takes the work out of the count.
struct Waiting {
    breaker: Breaker,
    part: SharedPart,
}

impl Waiting {
    fn begin(breaker: Breaker, part: SharedPart) -> Self {
        breaker.parts.send_modify(|parts| *parts.waiting.entry(part).or_default() += 1);
        Self { breaker, part }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.breaker.parts.send_modify(|parts| {
            let waiting = parts.waiting.entry(self.part).or_default();
            *waiting = waiting.saturating_sub(1);
        });
    }
}

/// Publishes whether a part is out of order.
pub(super) fn record(part: SharedPart, broken: bool) {
    let name: &'static str = part.into();
    metrics::gauge!(SHARED_PART_BROKEN, "part" => name).set(f64::from(u8::from(broken)));
}

#[cfg(test)]
mod tests;
