//! One claim from its first event to the one move that ends it.

use std::time::Duration;

use csm_shared::job::{Failure, FailureClass, JobId, Receipt};
use csm_shared::live::{Event, EventId};
use csm_shared::queue::{Commit, Lease, LeaseRef, QueueError, Retry};
use csm_shared::telemetry;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Runner;
use super::heartbeat::{self, Interruption};
use crate::sink::{self, Stored};
use crate::speak::SpeakError;

/// Ceiling of the first retry's delay; it doubles with each attempt.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// Highest ceiling of a retry's delay.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How an attempt ended.
enum Outcome {
    Spoken(Box<(Receipt, Stored)>),
    Failed(Failure),
    Interrupted(Interruption),
    HandedBack,
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
        let started = Event::Started { worker: self.owner.to_string() };
        let first = EventId { attempt: at.attempt, sequence: 1 };
        if let Err(error) = self.studio.live.publish(&at.id, first, &started).await {
            tracing::debug!(error = %error, "the start was not published");
        }
        tracing::info!(waited_ms = lease.waited().as_millis() as u64, lane = %spec.lane, "speaking");
        tokio::select! {
            spoken = Box::pin(self.studio.speak(at, spec, lease.waited())) => match spoken {
                Ok(done) => Outcome::Spoken(Box::new(done)),
                Err(error) => Outcome::Failed(log_failure(&error)),
            },
            why = heartbeat::beat(&self.queue, &self.hub, at) => Outcome::Interrupted(why),
            () = hand_back.cancelled() => Outcome::HandedBack,
        }
    }

    async fn conclude(&self, lease: Lease, outcome: Outcome) -> Result<(), QueueError> {
        let at = lease.at().clone();
        match outcome {
            Outcome::Spoken(done) => self.commit(lease, done.0, &done.1).await?,
            Outcome::Failed(failure) if failure.class == FailureClass::Invalid => {
                count(&lease, "failed");
                lease.fail(&failure).await?;
                self.announce(&at.id).await?;
            }
            Outcome::Failed(failure) => self.retry(lease, &at, &failure).await?,
            Outcome::Interrupted(Interruption::Cancelled) => {
                tracing::info!("cancelled by the caller");
                count(&lease, "cancelled");
                lease.cancelled().await?;
                self.announce(&at.id).await?;
            }
            Outcome::Interrupted(Interruption::LeaseLost) => {
                tracing::warn!("the lease was lost; leaving the job to its new owner");
            }
            Outcome::HandedBack => {
                let verdict = lease.release().await?;
                tracing::info!(verdict = ?verdict, "handed back");
                if verdict == Retry::Cancelled {
                    self.announce(&at.id).await?;
                }
            }
        }
        Ok(())
    }

    async fn commit(&self, lease: Lease, receipt: Receipt, stored: &Stored) -> Result<(), QueueError> {
        let at = lease.at().clone();
        let lane = lease.spec().map_or("", |spec| spec.lane.name());
        match lease.succeed(&receipt).await? {
            Commit::Committed => {
                tracing::info!(frames = receipt.frames, rtf = receipt.rtf, sha256 = %receipt.sha256, "committed");
                metrics::counter!(telemetry::JOBS_TOTAL, "lane" => lane, "outcome" => "succeeded").increment(1);
                self.announce(&at.id).await
            }
            Commit::Cancelled => {
                sink::discard(&self.studio.store, &stored.key).await;
                metrics::counter!(telemetry::JOBS_TOTAL, "lane" => lane, "outcome" => "cancelled").increment(1);
                self.announce(&at.id).await
            }
            Commit::Stale => {
                tracing::warn!("the result came after the lease was lost; discarding it");
                sink::discard(&self.studio.store, &stored.key).await;
                Ok(())
            }
        }
    }

    async fn retry(&self, lease: Lease, at: &LeaseRef, failure: &Failure) -> Result<(), QueueError> {
        let lane = lease.spec().map_or("", |spec| spec.lane.name());
        let verdict = lease.retry(failure, backoff(at.attempt)).await?;
        tracing::info!(verdict = ?verdict, "gave the job back after a failed attempt");
        match verdict {
            Retry::Failed => {
                metrics::counter!(telemetry::JOBS_TOTAL, "lane" => lane, "outcome" => "failed").increment(1);
                self.announce(&at.id).await
            }
            Retry::Cancelled => self.announce(&at.id).await,
            Retry::Queued | Retry::Stale => Ok(()),
        }
    }

    /// Tells followers that the job has ended. Should this fail, they will read it from the record.
    async fn announce(&self, id: &JobId) -> Result<(), QueueError> {
        if let Some(record) = self.queue.record(id).await?
            && let Err(error) = self.studio.live.announce_end(&record).await
        {
            tracing::warn!(error = %error, "the end was not announced; followers will read it from the record");
        }
        Ok(())
    }
}

fn count(lease: &Lease, outcome: &'static str) {
    let lane = lease.spec().map_or("", |spec| spec.lane.name());
    metrics::counter!(telemetry::JOBS_TOTAL, "lane" => lane, "outcome" => outcome).increment(1);
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
