//! A single attempt at a claimed job, from its first event to the move that ends the lease.

use std::time::{Duration, Instant, SystemTime};

use csm_queue::queue::{Claimed, Commit, Lease, QueueError, Retry};
use csm_shared::job::{Failure, FailureClass, JobSpec, Receipt};
use csm_shared::process::traces::TraceContext;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::Runner;
use super::heartbeat::{self, Interruption};
use super::occupancy::Occupancy;
use crate::sink;
use crate::speak::{AttemptProgress, Blame};

/// Ceiling of the first retry's delay; it doubles with each attempt.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// Highest ceiling of a retry's delay.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Attempts of a job up to which an engine that never succeeded is blamed for its own end. A device
/// that fails every job then burns none. At the delays of [`backoff`] these take about 17 minutes.
const UNPROVEN_ATTEMPTS_MAX: u64 = 40;

/// End of an attempt.
enum Outcome {
    Generated(Box<Receipt>),
    Failed(Blame),
    Interrupted(Interruption),
    HandedBack,
}

/// State of the job after an attempt.
#[derive(PartialEq, Eq)]
enum JobEnd {
    /// Ended: the file of this attempt is the result.
    Committed,
    /// Ended without a result.
    Ended,
    /// Not ended: another attempt or another worker goes on with the job.
    Open,
}

impl Runner {
    /// Runs one claim to its end. Every way out ends the lease or finds that it was lost.
    pub(super) async fn attempt(&self, job: Claimed, occupancy: &Occupancy, hand_back: &CancellationToken) {
        let span = self.span(&job);
        async {
            let begun = Instant::now();
            let progress = AttemptProgress::new(self.context.engine.clone());
            let outcome = self.outcome(&job, &progress, hand_back).await;
            let spoken = if let Outcome::Generated(receipt) = &outcome { spoken(receipt) } else { (0, None) };
            if matches!(outcome, Outcome::Generated(_)) {
                occupancy.prove_engine();
            }
            let engine = EngineRecord { alone: job.alone, proven: occupancy.is_engine_proven() };
            let conclude = self.conclude(job.lease, &job.spec, engine, outcome);
            match conclude.instrument(tracing::info_span!("commit")).await {
                // A job that runs alone is faster than others, and one that had to wait for the
                // store is slower. Most frames of an edit are decoded only. All would distort the rate.
                Ok(()) if job.alone || progress.was_kept() || job.spec.editing.edit().is_some() => {}
                Ok(()) => occupancy.record_rate(spoken.0, spoken.1.unwrap_or_else(|| begun.elapsed())),
                Err(error) => {
                    tracing::error!(error = %error, "cannot record end of attempt, its lease will expire");
                }
            }
        }
        .instrument(span)
        .await;
    }

    /// Makes the span of an attempt, below the span of its job's request.
    fn span(&self, job: &Claimed) -> Span {
        let (at, trace) = (job.lease.at(), job.spec.trace.as_ref());
        let (worker, lane) = (&self.context.worker, job.spec.lane);
        let trace_id = trace.map(TraceContext::trace_id);
        let span = tracing::info_span!("attempt", job = %at.id, attempt = at.attempt, %worker, %lane, trace_id, otel.kind = "consumer");
        if let Some(trace) = trace {
            trace.adopt(&span);
        }
        span
    }

    async fn outcome(&self, job: &Claimed, progress: &AttemptProgress, hand_back: &CancellationToken) -> Outcome {
        let (at, spec, waited) = (job.lease.at(), &job.spec, job.waited);
        let (sampling, voice) = (spec.sampling, spec.voice.map(tracing::field::display));
        tracing::info!(
            waited_ms = waited.as_millis() as u64,
            alone = job.alone,
            characters = spec.text.as_str().chars().count(),
            max_audio_length_ms = spec.budget.ms(),
            temperature = sampling.temperature.get(),
            topk = sampling.topk.get(),
            seed = sampling.seed.get(),
            voice,
            context = spec.context.segments().len(),
            "started attempt"
        );
        tokio::select! {
            // A finished attempt takes precedence over an interruption at the same moment.
            biased;
            result = Box::pin(self.context.attempt_or_blame(at, spec, waited, progress)) => match result {
                Ok(receipt) => Outcome::Generated(Box::new(receipt)),
                Err(blame) => Outcome::Failed(blame),
            },
            why = heartbeat::beat(&self.queue, &self.subscriptions, at, progress) => Outcome::Interrupted(why),
            () = hand_back.cancelled() => Outcome::HandedBack,
        }
    }

    /// Ends the lease as the outcome asks, and deletes the file of an attempt that was not
    /// committed. If the job has ended, publishes its end.
    async fn conclude(
        &self,
        lease: Lease,
        spec: &JobSpec,
        engine: EngineRecord,
        outcome: Outcome,
    ) -> Result<(), QueueError> {
        let at = lease.at().clone();
        let end = end(lease, engine, outcome).await?;
        if end != JobEnd::Committed {
            sink::discard(&self.context.store, &at, spec).await;
        }
        if end != JobEnd::Open {
            self.live.conclude(&self.queue, &at.id).await?;
        }
        Ok(())
    }
}

/// Records a job's wait in the queue and its claim, which are over, in its trace.
pub(super) fn trace_wait(job: &Claimed, claim_took: Duration) {
    let Some(trace) = &job.spec.trace else { return };
    let now = SystemTime::now();
    let claim = now.checked_sub(claim_took).unwrap_or(now);
    trace.record("queue wait", now.checked_sub(job.waited).unwrap_or(claim).min(claim), claim);
    trace.record("claim", claim, now);
}

/// What is known of an engine when an attempt ends.
#[derive(Clone, Copy)]
struct EngineRecord {
    /// Whether the attempt ran with nothing beside it.
    alone: bool,
    /// Whether this engine has finished any job.
    proven: bool,
}

/// Ends the lease by the one move that the outcome asks for.
async fn end(lease: Lease, engine: EngineRecord, outcome: Outcome) -> Result<JobEnd, QueueError> {
    Ok(match outcome {
        Outcome::Generated(receipt) => {
            let verdict = lease.succeed(&receipt).await?;
            tracing::info!(
                ?verdict, frames = receipt.frames, first_audio_ms = receipt.first_audio_ms, compute_ms = receipt.compute_ms,
                rtf = receipt.rtf, bytes = receipt.bytes, sha256 = %receipt.sha256, "finished attempt"
            );
            match verdict {
                Commit::Committed => JobEnd::Committed,
                Commit::Cancelled => JobEnd::Ended,
                Commit::Stale => JobEnd::Open,
            }
        }
        Outcome::Failed(blame) => blamed(lease, engine, blame).await?,
        Outcome::Interrupted(Interruption::Cancelled) => {
            tracing::info!("cancelled job by request of caller");
            ended(lease.cancelled().await?)
        }
        Outcome::Interrupted(Interruption::Late) => {
            let failure = Failure::new(FailureClass::Deadline, "the job was not done by its deadline");
            ended(lease.fail(&failure).await?)
        }
        // The lease has run out, but this move still counts if no janitor was faster.
        Outcome::Interrupted(Interruption::Stuck) => blamed(lease, engine, Blame::engine()).await?,
        Outcome::Interrupted(Interruption::LeaseLost) => {
            tracing::warn!("lost lease, leaving job to its new worker");
            JobEnd::Open
        }
        Outcome::HandedBack => {
            let verdict = lease.release().await?;
            tracing::info!(?verdict, "released job");
            requeued(verdict)
        }
    })
}

/// Ends the lease of a failed attempt. Only a failure of the job itself always counts.
async fn blamed(lease: Lease, engine: EngineRecord, blame: Blame) -> Result<JobEnd, QueueError> {
    let attempt = lease.at().attempt;
    Ok(match blame {
        Blame::Job(failure) if failure.class == FailureClass::Invalid => ended(lease.fail(&failure).await?),
        Blame::Job(failure) => {
            let verdict = lease.retry(&failure, backoff(attempt)).await?;
            tracing::info!(?verdict, "requeued job after failed attempt");
            requeued(verdict)
        }
        Blame::Shared(_) => {
            let verdict = lease.release_after(backoff(attempt)).await?;
            tracing::info!(?verdict, "released job, a part that all jobs share is out of order");
            requeued(verdict)
        }
        // Nothing shows yet that the device works at all. The delay lets another job try it first.
        Blame::Engine(_) if engine.alone && !engine.proven && attempt < UNPROVEN_ATTEMPTS_MAX => {
            let verdict = lease.release_after(backoff(attempt)).await?;
            tracing::warn!(?verdict, "released job, its engine failed before it finished any job");
            requeued(verdict)
        }
        Blame::Engine(failure) => {
            let verdict = lease.suspect(&failure).await?;
            tracing::info!(?verdict, "requeued job as suspect");
            requeued(verdict)
        }
    })
}

/// Returns the frames that an attempt made, and how long all of them took at the pace from the first
/// to the last. The prompt counts as a cost of the job, not as slow speech. The time is unknown if
/// frames were resumed, or too few to measure.
fn spoken(receipt: &Receipt) -> (u32, Option<Duration>) {
    let made = receipt.frames.saturating_sub(receipt.resumed_frames);
    let between = receipt.first_audio_ms.map(|first| receipt.compute_ms.saturating_sub(first));
    let measured = between.filter(|ms| *ms > 0 && made > 1 && receipt.resumed_frames == 0);
    let whole = measured.map(|ms| Duration::from_millis(ms).mul_f64(f64::from(made) / f64::from(made - 1)));
    (made, whole)
}

const fn ended(verdict: Commit) -> JobEnd {
    match verdict {
        Commit::Committed | Commit::Cancelled => JobEnd::Ended,
        Commit::Stale => JobEnd::Open,
    }
}

const fn requeued(verdict: Retry) -> JobEnd {
    match verdict {
        Retry::Failed | Retry::Cancelled => JobEnd::Ended,
        Retry::Queued | Retry::Stale => JobEnd::Open,
    }
}

/// Returns a delay with full jitter: any delay up to a ceiling that doubles with each attempt.
fn backoff(attempt: u64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let ceiling = (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    ceiling.mul_f64(rand::rng().random_range(0.0..1.0))
}
