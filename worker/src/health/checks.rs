//! Checks of the shared parts: the store from time to time, every other part after its fault.

use std::time::Duration;

use csm_queue::queue::Queue;
use csm_shared::store::{ObjectKey, Store};
use tokio::time::{Instant, sleep, timeout};

use super::breaker::{Breaker, record};
use super::{SharedFault, SharedPart};
use crate::encode::AudioEncoder;
use crate::marks::Marker;

/// Pause between two checks of a store that works.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Pause before the first check of a part that failed; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause between two checks of a part that is out of order.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time without an answer after which a check counts as failed. No second check begins before the
/// first one ends, so a store that never answers holds one thread.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// Time after which the log says again that a part is out of order.
const REMIND_EVERY: Duration = Duration::from_secs(30);

/// Shared parts of a worker, with a check for each.
#[derive(Clone)]
pub struct Checks {
    /// Queue, whose checks compare this worker with its fleet, and log in.
    pub queue: Queue,
    /// Store of the audio.
    pub store: Store,
    /// Key of the object that a check of the store writes.
    pub probe: ObjectKey,
    /// Marker, checked by its self-test.
    pub marker: Marker,
    /// Encoder, whose signer is checked by its self-test.
    pub encoder: AudioEncoder,
}

impl Checks {
    /// Watches over the parts: opens the breaker if the store fails its check, and closes it when
    /// the broken part passes its own. Runs until it is dropped, also while the worker drains.
    pub async fn run(self, breaker: Breaker) {
        for part in [SharedPart::Store, SharedPart::Marks, SharedPart::Signer, SharedPart::Fleet, SharedPart::Redis] {
            record(part, false);
        }
        loop {
            match timeout(CHECK_EVERY, breaker.broken()).await {
                Ok(part) => self.recover(part, &breaker).await,
                Err(_) => self.check_store(&breaker).await,
            }
        }
    }

    /// Checks the store, and opens the breaker if the check fails.
    pub async fn check_store(&self, breaker: &Breaker) {
        if let Err(fault) = self.check(SharedPart::Store, breaker).await {
            breaker.trip(&fault);
        }
    }

    /// Checks a broken part until it works.
    async fn recover(&self, part: SharedPart, breaker: &Breaker) {
        // The check of Redis may pass although a right is missing that only a claim needs.
        let first = if part == SharedPart::Redis { RETRY_PAUSE_MAX } else { RETRY_PAUSE_MIN };
        let (mut pause, mut told) = (first, Instant::now());
        loop {
            sleep(pause).await;
            pause = (2 * pause).min(RETRY_PAUSE_MAX);
            match self.check(part, breaker).await {
                Err(fault) => {
                    breaker.trip(&fault);
                    if told.elapsed() >= REMIND_EVERY {
                        told = Instant::now();
                        tracing::warn!(part = %part, reason = %fault.reason, "shared part still fails, claiming no jobs");
                    }
                }
                Ok(()) => {
                    breaker.half_open(part);
                    if breaker.trial_passed(part).await {
                        return;
                    }
                }
            }
        }
    }

    /// Checks one part in a task of its own. If the check takes too long, opens the breaker and
    /// goes on waiting.
    async fn check(&self, part: SharedPart, breaker: &Breaker) -> Result<(), SharedFault> {
        let checks = self.clone();
        let mut checking = tokio::spawn(async move { checks.checked(part).await });
        let ended = match timeout(CHECK_LIMIT, &mut checking).await {
            Ok(ended) => ended,
            Err(_) => {
                let silent = format!("no answer within {} s", CHECK_LIMIT.as_secs());
                breaker.trip(&SharedFault::new(part, &silent));
                checking.await
            }
        };
        ended.unwrap_or_else(|panicked| Err(SharedFault::new(part, &panicked)))
    }

    async fn checked(self, part: SharedPart) -> Result<(), SharedFault> {
        match part {
            SharedPart::Store => self.store.probe(&self.probe).await.map_err(|error| SharedFault::new(part, &error)),
            SharedPart::Marks => marks(self.marker).await,
            SharedPart::Signer => {
                let checking = tokio::task::spawn_blocking(move || self.encoder.check());
                match checking.await {
                    Ok(checked) => checked.map_err(|error| SharedFault::new(part, &error)),
                    Err(panicked) => Err(SharedFault::new(part, &panicked)),
                }
            }
            SharedPart::Fleet => self.queue.agree().await.map_err(|error| SharedFault::new(part, &error)),
            SharedPart::Redis => match self.queue.redis().ping().await {
                Err(fault) if fault.is_about_access() => Err(SharedFault::new(part, &fault)),
                // The next claim shows whether Redis answers.
                _ => Ok(()),
            },
        }
    }
}

/// Runs the self-test of the marks. Takes long with SilentCipher.
pub(crate) async fn marks(marker: Marker) -> Result<(), SharedFault> {
    let part = SharedPart::Marks;
    match tokio::task::spawn_blocking(move || marker.self_test()).await {
        Ok(checked) => checked.map_err(|error| SharedFault::new(part, &error)),
        Err(panicked) => Err(SharedFault::new(part, &panicked)),
    }
}
