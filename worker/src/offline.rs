//! A worker without a queue: its jobs come from the process itself, one call for each.
//!
//! Nothing is published, because nobody follows, and nothing is resumed. Marks, checks and files are
//! those of any other worker.

use std::time::Duration;

use csm_queue::queue::{LeaseRef, MAX_FAILED_ATTEMPTS, WorkerId};
use csm_shared::job::{Failure, FailureClass, JobId, JobSpec, Receipt};
use csm_shared::process::admin::Readiness;
use csm_shared::store::Store;
use csm_shared::watermark::WatermarkKeyId;
use tokio::sync::watch;

use crate::config::SpeechArgs;
use crate::health::Breaker;
use crate::runner::stuck;
use crate::serve::{SpeechParts, WorkerError, host, load};
use crate::speak::{AttemptContext, AttemptProgress, Blame, PublishPace};

/// Speech engine with marks and a store. Clones are not needed: calls share it by reference.
pub struct OfflineWorker {
    context: AttemptContext,
    worker_id: WorkerId,
    key: WatermarkKeyId,
}

/// Reason why a job was not spoken.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Failure of the job. Others may succeed.
    #[error("{}", .0.message)]
    Job(Failure),
    /// Failure of a part that all jobs need. None can be spoken now.
    #[error("{0}")]
    Stopped(String),
}

impl OfflineWorker {
    /// Loads model and marks. `state` shows the phase.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn start(
        args: &SpeechArgs,
        slots: u8,
        store: Store,
        state: &watch::Sender<Readiness>,
    ) -> Result<Self, WorkerError> {
        let speech = SpeechParts::new(args).await?;
        let key = speech.key.id();
        let marker = speech.marker(state).await?;
        let (engine, tokenizer, voices) = load(args, slots, state).await?;
        let worker_id = WorkerId::of_this_process(&host());
        let context = AttemptContext {
            engine,
            tokenizer,
            marker,
            encoder: speech.encoder,
            store,
            breaker: Breaker::default(),
            voices,
            take_limits: args.take_limits,
            publish_pace: PublishPace::Seldom,
            live: None,
            worker: worker_id.to_string(),
        };
        Ok(Self { context, worker_id, key })
    }

    /// Returns everything that decides the bytes beside the jobs: the digest of the weights, their number
    /// format, and the id of the watermark's key.
    #[must_use]
    pub fn identity(&self) -> String {
        let info = self.context.engine.info();
        format!("{} {} {}", info.weights_sha256, info.dtype, self.key)
    }

    /// Speaks a job into the store. A failure of the job is tried again as often as in the queue.
    ///
    /// # Errors
    /// [`OfflineError`].
    pub async fn speak(&self, id: JobId, spec: &JobSpec) -> Result<Receipt, OfflineError> {
        let mut attempt = 1;
        loop {
            match self.attempt(id, spec, attempt).await? {
                Ok(receipt) => return Ok(receipt),
                Err(failure) => {
                    let is_last = attempt >= u64::from(MAX_FAILED_ATTEMPTS);
                    if is_last || failure.class == FailureClass::Invalid {
                        return Err(OfflineError::Job(failure));
                    }
                }
            }
            attempt += 1;
        }
    }

    /// Makes one attempt. The inner error is the job's.
    async fn attempt(&self, id: JobId, spec: &JobSpec, attempt: u64) -> Result<Result<Receipt, Failure>, OfflineError> {
        let at = LeaseRef::outside_a_queue(id, attempt, self.worker_id.clone());
        let progress = AttemptProgress::new(self.context.engine.clone());
        let attempt = self.context.attempt_or_blame(&at, spec, Duration::ZERO, &progress);
        let outcome = tokio::select! {
            biased;
            outcome = Box::pin(attempt) => outcome,
            () = stuck(&progress) => Err(Blame::engine()),
            // No check of the parts runs here, so a broken one stays broken.
            () = self.context.breaker.reason_changed(None) => {
                return Err(OfflineError::Stopped(self.context.breaker.reason().unwrap_or_default()));
            }
        };
        match outcome {
            Ok(receipt) => Ok(Ok(receipt)),
            Err(Blame::Job(failure)) => Ok(Err(failure)),
            Err(Blame::Engine(failure)) => Err(OfflineError::Stopped(failure.message)),
            Err(Blame::Shared(fault)) => Err(OfflineError::Stopped(format!("{}: {}", fault.part, fault.reason))),
        }
    }
}
