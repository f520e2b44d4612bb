//! Looks for marks in a recording that a caller sends: the builtin mark here, SilentCipher's by a worker that has it.

use std::sync::Arc;

use csm_queue::detect_queue::{DetectQueue, DetectorAvailability, RECORDING_SECONDS_MAX};
use csm_queue::redis_client::RedisClient;
use csm_shared::audio::{Clip, SAMPLE_RATE};
use csm_shared::job::JobId;
use csm_shared::watermark::{Detector, Finding, Scheme, Verdict, WatermarkReport};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Recordings that are decoded and looked at at a time: a processor and up to 200 MB each.
const DETECTIONS_MAX: usize = 4;
/// Recordings that wait for a worker's answer at a time: up to 12 MB each. The queue has a bound of its own, for all gateways.
const PENDING_MAX: usize = 16;

/// What detections share.
pub(crate) struct Detections {
    /// `None` where the gateway was given no key.
    detector: Option<Arc<Detector>>,
    permits: Arc<Semaphore>,
    pending: Semaphore,
    queue: DetectQueue,
}

/// What a worker said.
enum WorkerAnswer {
    Findings(Vec<Finding>),
    /// No worker is there to look, though some have marked so.
    NoWorker,
}

impl Detections {
    pub(crate) fn new(detector: Option<Detector>, redis: RedisClient) -> Self {
        let permits = Arc::new(Semaphore::new(DETECTIONS_MAX));
        let pending = Semaphore::new(PENDING_MAX);
        Self { detector: detector.map(Arc::new), permits, pending, queue: DetectQueue::new(redis) }
    }

    /// The detector, where there is a key for it.
    pub(crate) fn detector(&self) -> Result<Arc<Detector>, Problem> {
        self.detector.clone().ok_or_else(Problem::no_watermark_key)
    }

    /// What can be said about a recording, which may come from `job`. What a worker was to say and did not is an error, unless
    /// the builtin mark is there, which stands by itself.
    pub(crate) async fn report(
        &self,
        detector: Arc<Detector>,
        job: Option<JobId>,
        read: impl FnOnce() -> Result<Clip, Problem> + Send + 'static,
    ) -> Result<WatermarkReport, Problem> {
        let (clip, all_heard, builtin) = self.examine(detector, read).await?;
        let mut findings = vec![builtin];
        let mut not_looked_for = Vec::new();
        match self.ask_worker(&clip, job).await {
            Ok(WorkerAnswer::Findings(more)) => {
                findings.extend(more.into_iter().map(|finding| if all_heard { finding } else { of_a_part(finding) }));
            }
            Ok(WorkerAnswer::NoWorker) => not_looked_for.push(Scheme::Silentcipher),
            Err(problem) if findings[0].verdict != Verdict::Detected => return Err(problem),
            Err(_) => {
                tracing::warn!("cannot look for SilentCipher's mark");
                not_looked_for.push(Scheme::Silentcipher);
            }
        }
        WatermarkReport::of(findings, not_looked_for).ok_or_else(|| Problem::internal("a report without findings"))
    }

    /// Looks for the builtin mark, under one of few permits. Answers the part of the recording that a worker may be asked about,
    /// whether that is all of it, and what was found.
    async fn examine(
        &self,
        detector: Arc<Detector>,
        read: impl FnOnce() -> Result<Clip, Problem> + Send + 'static,
    ) -> Result<(Clip, bool, Finding), Problem> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit =
            permit.map_err(|_| Problem::overloaded("Too many recordings are being looked at at once. Try again."))?;
        let looking = tokio::task::spawn_blocking(move || {
            // A caller who leaves does not make the thread free.
            let _permit = permit;
            let clip = read()?;
            let finding = detector.examine(&clip.to_f32());
            let (samples, most) = (clip.samples(), (RECORDING_SECONDS_MAX * SAMPLE_RATE) as usize);
            let all_heard = samples.len() <= most;
            let clip = if all_heard { clip } else { Clip::from_samples(samples[..most].to_vec()) };
            Ok::<_, Problem>((clip, all_heard, finding))
        });
        looking.await.map_err(Problem::internal)?
    }

    async fn ask_worker(&self, clip: &Clip, job: Option<JobId>) -> Result<WorkerAnswer, Problem> {
        match self.queue.availability().await.map_err(Problem::undetermined)? {
            DetectorAvailability::Available => {}
            DetectorAvailability::Gone => return Ok(WorkerAnswer::NoWorker),
            DetectorAvailability::Unused => return Ok(WorkerAnswer::Findings(Vec::new())),
        }
        let waiting = self.pending.try_acquire();
        let _waiting = waiting.map_err(|_| Problem::overloaded("Too many recordings wait for a worker. Try again."))?;
        let findings = self.queue.ask(clip, job).await.map_err(Problem::undetermined)?;
        if findings.is_empty() {
            return Err(Problem::undetermined("the worker's answer holds no finding"));
        }
        Ok(WorkerAnswer::Findings(findings))
    }
}

/// What was not found in the beginning of a recording may still be in the rest.
fn of_a_part(finding: Finding) -> Finding {
    let verdict = if finding.verdict == Verdict::NotDetected { Verdict::Inconclusive } else { finding.verdict };
    Finding { verdict, ..finding }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::channel;
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use csm_queue::redis_client::RedisArgs;
    use csm_shared::watermark::WatermarkKey;

    use super::*;

    #[tokio::test]
    async fn more_than_a_few_at_once_are_refused_at_once() {
        // Nobody answers there, and nobody is asked.
        let redis = RedisArgs { redis_url: "redis://127.0.0.1:9".into(), key_prefix: "csm".into() };
        let redis = RedisClient::new(&redis, Duration::ZERO).unwrap();
        let detections = Arc::new(Detections::new(Some(Detector::new(&WatermarkKey::development())), redis));
        let look = |read: Box<dyn FnOnce() -> Result<Clip, Problem> + Send>| {
            let detections = Arc::clone(&detections);
            let detector = detections.detector().unwrap();
            async move { detections.report(detector, None, read).await.unwrap_err().into_response().status() }
        };
        let (began, begun) = channel();
        let mut held = Vec::new();
        for _ in 0..DETECTIONS_MAX {
            let (release, released) = channel::<()>();
            let began = began.clone();
            let reading = tokio::spawn(look(Box::new(move || {
                began.send(()).unwrap();
                // Until the other end is dropped.
                let _ = released.recv();
                Err(Problem::internal("a recording of this test"))
            })));
            held.push((release, reading));
        }
        tokio::task::spawn_blocking(move || begun.iter().take(DETECTIONS_MAX).count()).await.unwrap();
        assert_eq!(look(Box::new(|| panic!("one too many is not read"))).await, StatusCode::SERVICE_UNAVAILABLE);
        for (release, reading) in held {
            drop(release);
            assert_eq!(reading.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR, "it had a permit");
        }
        let next = look(Box::new(|| Err(Problem::internal("a recording of this test"))));
        assert_eq!(next.await, StatusCode::INTERNAL_SERVER_ERROR, "the permits are free again");
    }
}
