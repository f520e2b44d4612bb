//! Housekeeping that any live process may do: put back what dead workers held, and wake retries that are due. Gateways do
//! it too, so that a fleet with no worker left still has its backlog in order.

use std::time::Duration;

use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use super::{MAX_FAILED_ATTEMPTS, Queue, QueueError, RECORD_TTL};
use crate::job::{Failure, FailureClass, JobId, JobState};
use crate::live::Live;

/// Retries moved per call.
pub(super) const PROMOTE_LIMIT: u32 = 64;
/// Lost leases handled per call.
const REAP_LIMIT: u32 = 64;
/// Mean pause between two rounds, jittered by half so that processes do not march in step.
const ROUND: Duration = Duration::from_secs(2);

/// A job whose worker was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// The job.
    pub id: JobId,
    /// Where it went: queued again, failed, or cancelled.
    pub state: JobState,
}

impl Queue {
    /// Puts back, or fails, jobs whose lease ran out.
    pub async fn reap(&self) -> Result<Vec<Reaped>, QueueError> {
        let lost = Failure::new(FailureClass::WorkerLost, "the worker stopped renewing its lease");
        let mut script = self.scripts.reap.key(self.keys.for_scripts().as_slice());
        script
            .arg(REAP_LIMIT)
            .arg(MAX_FAILED_ATTEMPTS)
            .arg(serde_json::to_string(&lost)?)
            .arg(RECORD_TTL.as_millis() as u64);
        let reaped: Vec<(String, String)> = self.redis.script_once(&script).await?;
        let read = |(id, state): (String, String)| {
            let id = id.parse().map_err(|_| QueueError::Corrupt(format!("job id {id:?}")))?;
            Ok(Reaped { id, state: state.parse().map_err(QueueError::Corrupt)? })
        };
        reaped.into_iter().map(read).collect()
    }

    /// Moves due retries into their lanes; says how many.
    pub async fn promote(&self) -> Result<u64, QueueError> {
        let mut script = self.scripts.promote.key(self.keys.for_scripts().as_slice());
        script.arg(PROMOTE_LIMIT);
        Ok(self.redis.script_once(&script).await?)
    }
}

/// The loop that does both, until told to stop.
pub struct Janitor {
    queue: Queue,
    live: Live,
}

impl Janitor {
    /// A janitor for a queue; ends of jobs that it brings about are announced on the live channel.
    #[must_use]
    pub const fn new(queue: Queue, live: Live) -> Self {
        Self { queue, live }
    }

    /// Works until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = ROUND.mul_f64(rand::rng().random_range(0.5..1.5));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.round().await {
                tracing::warn!(error = %error, "housekeeping failed; trying again next round");
            }
        }
    }

    async fn round(&self) -> Result<(), QueueError> {
        self.queue.promote().await?;
        for Reaped { id, state } in self.queue.reap().await? {
            metrics::counter!(crate::telemetry::LEASE_LOST_TOTAL).increment(1);
            tracing::warn!(job = %id, state = %state, "a worker was lost; its job was taken back");
            self.live.conclude(&self.queue, &id).await?;
        }
        Ok(())
    }
}
