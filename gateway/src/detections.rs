//! Search for marks in a caller's recording.
//!
//! The gateway looks for the builtin mark itself. A worker with the model of SilentCipher looks for
//! that mark.

use std::sync::Arc;

use csm_queue::detect_queue::{DetectQueue, DetectorAvailability, RECORDING_SECONDS_MAX};
use csm_queue::redis_client::RedisClient;
use csm_shared::audio::{Clip, MAX_SOURCE_SECONDS, SAMPLE_RATE};
use csm_shared::job::{InputWarnings, JobId};
use csm_shared::watermark::{Detector, Finding, Scheme, Verdict, WatermarkReport};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::http::Problem;
use crate::resources::MemoryGrant;

/// Recordings that are decoded and examined at a time: each takes one core.
const DETECTIONS_MAX: usize = 4;
/// Largest memory of one search, in bytes: a recording of [`MAX_SOURCE_SECONDS`] at 48 kHz as 32-bit
/// floats, and at 24 kHz.
const EXAMINE_BYTES: usize = MAX_SOURCE_SECONDS as usize * (48_000 + SAMPLE_RATE as usize) * 4;
/// Memory of a recording that waits for a worker, in bytes: 16-bit samples, their base64, and its
/// copy on the way.
const PENDING_BYTES: usize = (RECORDING_SECONDS_MAX * SAMPLE_RATE) as usize * 8;
/// Recordings of this gateway that wait for a worker at a time. The detect queue
/// has a bound of its own, for all gateways.
const PENDING_MAX: usize = 16;

/// Detector, limits and queue that all detections share.
pub(crate) struct Detections {
    /// `None` if the gateway has no watermark key.
    detector: Option<Arc<Detector>>,
    /// Permits to examine a recording.
    permits: Arc<Semaphore>,
    /// Permits to wait for a worker.
    pending: Semaphore,
    queue: DetectQueue,
}

/// Report on a recording, with warnings about its file.
#[derive(Debug, Serialize)]
pub(crate) struct Detection {
    #[serde(flatten)]
    report: WatermarkReport,
    #[serde(skip_serializing_if = "InputWarnings::is_empty")]
    warnings: InputWarnings,
}

/// Recording in which the builtin mark was looked for.
struct Examined {
    /// Part of the recording that a worker may be asked about.
    clip: Clip,
    /// True if that part is the whole.
    all_heard: bool,
    /// Finding about the builtin mark.
    finding: Finding,
    /// Warnings about the file.
    warnings: InputWarnings,
    /// Memory of the part.
    memory: MemoryGrant,
}

/// Outcome of a question to the workers.
enum WorkerAnswer {
    /// Findings of a worker; none if no worker ever marked with SilentCipher.
    Findings(Vec<Finding>),
    /// No worker is there to look, although some have marked with SilentCipher.
    NoWorker,
}

impl Detections {
    /// Makes the shared parts.
    pub(crate) fn new(detector: Option<Detector>, redis: RedisClient) -> Self {
        let permits = Arc::new(Semaphore::new(DETECTIONS_MAX));
        let pending = Semaphore::new(PENDING_MAX);
        Self { detector: detector.map(Arc::new), permits, pending, queue: DetectQueue::new(redis) }
    }

    /// Returns the detector; refuses the request if the gateway has no key.
    pub(crate) fn detector(&self) -> Result<Arc<Detector>, Problem> {
        self.detector.clone().ok_or_else(Problem::no_watermark_key)
    }

    /// Reports on a recording that may come from `job`.
    ///
    /// A missing answer of a worker is an error, unless the builtin mark was detected: a detected
    /// mark decides alone.
    pub(crate) async fn report(
        &self,
        detector: Arc<Detector>,
        job: Option<JobId>,
        memory: MemoryGrant,
        read: impl FnOnce() -> Result<(Clip, InputWarnings), Problem> + Send + 'static,
    ) -> Result<Detection, Problem> {
        let Examined { clip, all_heard, finding: builtin, warnings, memory: _held_until_asked } =
            self.examine(detector, memory, read).await?;
        let mut findings = vec![builtin];
        let mut not_looked_for = Vec::new();
        match self.ask_worker(&clip, job).await {
            Ok(WorkerAnswer::Findings(more)) => {
                findings.extend(more.into_iter().map(|finding| if all_heard { finding } else { of_a_part(finding) }));
            }
            Ok(WorkerAnswer::NoWorker) => not_looked_for.push(Scheme::Silentcipher),
            Err(problem) if findings[0].verdict != Verdict::Detected => return Err(problem),
            Err(_) => {
                tracing::warn!("cannot look for mark of SilentCipher");
                not_looked_for.push(Scheme::Silentcipher);
            }
        }
        let report = WatermarkReport::of(findings, not_looked_for);
        let report = report.ok_or_else(|| Problem::internal("a report without findings"))?;
        Ok(Detection { report, warnings })
    }

    /// Looks for the builtin mark, under one of few permits.
    ///
    /// The thread goes on if the caller leaves, so it owns the permit and the memory.
    async fn examine(
        &self,
        detector: Arc<Detector>,
        mut memory: MemoryGrant,
        read: impl FnOnce() -> Result<(Clip, InputWarnings), Problem> + Send + 'static,
    ) -> Result<Examined, Problem> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit =
            permit.map_err(|_| Problem::overloaded("Too many recordings are being looked at at once. Try again."))?;
        memory.grow_to(memory.bytes() + EXAMINE_BYTES).await?;
        let looking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let (clip, warnings) = read()?;
            let finding = detector.examine(&clip.to_f32());
            let (samples, most) = (clip.samples(), (RECORDING_SECONDS_MAX * SAMPLE_RATE) as usize);
            let all_heard = samples.len() <= most;
            let clip = if all_heard { clip } else { Clip::from_samples(samples[..most].to_vec()) };
            memory.shrink_to(PENDING_BYTES);
            Ok::<_, Problem>(Examined { clip, all_heard, finding, warnings, memory })
        });
        looking.await.map_err(Problem::internal)?
    }

    /// Asks a worker for SilentCipher's mark.
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

/// Weakens a finding about the beginning of a recording: the mark may still be in the rest.
fn of_a_part(finding: Finding) -> Finding {
    let verdict = if finding.verdict == Verdict::NotDetected { Verdict::Inconclusive } else { finding.verdict };
    Finding { verdict, ..finding }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::channel;
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use csm_queue::redis_client::RedisArgs;
    use csm_shared::process::connections::Peer;
    use csm_shared::watermark::WatermarkKey;

    use super::*;
    use crate::resources::MemoryBudget;

    #[tokio::test]
    async fn more_than_a_few_at_once_are_refused_at_once() {
        // No server listens at this address, and no call is made.
        let redis = RedisArgs::new("redis://127.0.0.1:9", "csm");
        let redis = RedisClient::new(&redis, Duration::ZERO).unwrap();
        let detections = Arc::new(Detections::new(Some(Detector::new(&WatermarkKey::development())), redis));
        let memory = MemoryBudget::new(8 << 30);
        let look = |read: Box<dyn FnOnce() -> Result<(Clip, InputWarnings), Problem> + Send>| {
            let detections = Arc::clone(&detections);
            let detector = detections.detector().unwrap();
            let memory = memory.begin(Peer::of([10, 0, 0, 1].into()));
            async move { detections.report(detector, None, memory, read).await.unwrap_err().into_response().status() }
        };
        let (began, begun) = channel();
        let mut held = Vec::new();
        for _ in 0..DETECTIONS_MAX {
            let (release, released) = channel::<()>();
            let began = began.clone();
            let reading = tokio::spawn(look(Box::new(move || {
                began.send(()).unwrap();
                // Blocks until the other end is dropped.
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
