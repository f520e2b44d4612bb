//! One claim from its first event to the one move that ends it.

use std::time::Duration;

use csm_shared::job::{Failure, FailureClass, Receipt};
use csm_shared::queue::{Commit, Lease, QueueError, Retry};
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Runner;
use super::heartbeat::{self, Interruption};
use crate::sink;
use crate::speak::SpeakError;

/// Ceiling of the first retry's delay; it doubles with each attempt.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// Highest ceiling of a retry's delay.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How an attempt ended.
enum Outcome {
    Spoken(Box<Receipt>),
    Failed(Failure),
    Interrupted(Interruption),
    HandedBack,
}

/// What that means for the job.
#[derive(PartialEq, Eq)]
enum Fate {
    /// This attempt's file is its result.
    Committed,
    /// It has ended without one.
    Ended,
    /// It goes on, with another attempt or another owner.
    Open,
}

impl Runner {
    /// Runs one claim to its end; every way out ends the lease or finds that it was lost.
    pub(super) async fn attempt(&self, lease: Lease, hand_back: &CancellationToken) {
        let at = lease.at().clone();
        let span = tracing::info_span!("attempt", job = %at.id, attempt = at.attempt);
        async {
            let outcome = self.outcome(&lease, hand_back).await;
            if let Err(error) = self.conclude(lease, outcome).await {
                tracing::error!(error = %error, "the end of this attempt was not recorded; its lease will run out");
            }
        }
        .instrument(span)
        .await;
    }

    async fn outcome(&self, lease: &Lease, hand_back: &CancellationToken) -> Outcome {
        let at = lease.at();
        let Some(spec) = lease.spec() else {
            return Outcome::Failed(Failure::new(FailureClass::Invalid, "the job has no payload"));
        };
        tracing::info!(waited_ms = lease.waited().as_millis() as u64, lane = %spec.lane, "speaking");
        tokio::select! {
            // A take that is finished is worth more than a wish to stop.
            biased;
            spoken = Box::pin(self.studio.speak(at, spec, lease.waited())) => match spoken {
                Ok(receipt) => Outcome::Spoken(Box::new(receipt)),
                Err(error) => Outcome::Failed(log_failure(&error)),
            },
            why = heartbeat::beat(&self.queue, &self.hub, at) => Outcome::Interrupted(why),
            () = hand_back.cancelled() => Outcome::HandedBack,
        }
    }

    /// Ends the lease as the outcome asks, takes out the file of an attempt that was not committed, and announces the end
    /// of a job that has ended.
    async fn conclude(&self, lease: Lease, outcome: Outcome) -> Result<(), QueueError> {
        let at = lease.at().clone();
        let fate = self.end(lease, outcome).await?;
        if fate != Fate::Committed {
            sink::discard(&self.studio.store, &at).await;
        }
        if fate != Fate::Open {
            self.studio.live.conclude(&self.queue, &at.id).await?;
        }
        Ok(())
    }

    async fn end(&self, lease: Lease, outcome: Outcome) -> Result<Fate, QueueError> {
        let attempt = lease.at().attempt;
        Ok(match outcome {
            Outcome::Spoken(receipt) => {
                let verdict = lease.succeed(&receipt).await?;
                tracing::info!(?verdict, frames = receipt.frames, rtf = receipt.rtf, sha256 = %receipt.sha256, "spoken");
                match verdict {
                    Commit::Committed => Fate::Committed,
                    Commit::Cancelled => Fate::Ended,
                    Commit::Stale => Fate::Open,
                }
            }
            Outcome::Failed(failure) if failure.class == FailureClass::Invalid => ended(lease.fail(&failure).await?),
            Outcome::Failed(failure) => {
                let verdict = lease.retry(&failure, backoff(attempt)).await?;
                tracing::info!(?verdict, "gave the job back after a failed attempt");
                requeued(verdict)
            }
            Outcome::Interrupted(Interruption::Cancelled) => {
                tracing::info!("cancelled by the caller");
                ended(lease.cancelled().await?)
            }
            Outcome::Interrupted(Interruption::LeaseLost) => {
                tracing::warn!("the lease was lost; leaving the job to its new owner");
                Fate::Open
            }
            Outcome::HandedBack => {
                let verdict = lease.release().await?;
                tracing::info!(?verdict, "handed back");
                requeued(verdict)
            }
        })
    }
}

const fn ended(verdict: Commit) -> Fate {
    match verdict {
        Commit::Committed | Commit::Cancelled => Fate::Ended,
        Commit::Stale => Fate::Open,
    }
}

const fn requeued(verdict: Retry) -> Fate {
    match verdict {
        Retry::Failed | Retry::Cancelled => Fate::Ended,
        Retry::Queued | Retry::Stale => Fate::Open,
    }
}

fn log_failure(error: &SpeakError) -> Failure {
    let failure = error.failure();
    tracing::error!(class = ?failure.class, error = %error, "the attempt failed");
    failure
}

/// Full jitter: any delay up to a ceiling that doubles with each attempt.
fn backoff(attempt: u64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let ceiling = (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    ceiling.mul_f64(rand::rng().random_range(0.0..1.0))
}
