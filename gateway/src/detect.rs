//! Looks for marks in a recording that a caller sends: the builtin mark here, SilentCipher's by a worker that has it.

use std::sync::Arc;

use csm_shared::audio::Clip;
use csm_shared::detect_desk::{DetectDesk, SECONDS_MAX};
use csm_shared::redis_client::RedisClient;
use csm_shared::watermark::{Detector, Finding, Report, Verdict};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Recordings that are decoded and looked at at a time: a processor and up to 200 MB each.
const DETECTIONS_MAX: usize = 4;

/// What detections share.
pub(crate) struct Detections {
    /// `None` where the gateway was given no key.
    detector: Option<Arc<Detector>>,
    places: Arc<Semaphore>,
    desk: DetectDesk,
}

impl Detections {
    pub(crate) fn new(detector: Option<Detector>, redis: RedisClient) -> Self {
        let places = Arc::new(Semaphore::new(DETECTIONS_MAX));
        Self { detector: detector.map(Arc::new), places, desk: DetectDesk::new(redis) }
    }

    /// The detector, where there is a key for it.
    pub(crate) fn detector(&self) -> Result<Arc<Detector>, Problem> {
        self.detector.clone().ok_or_else(Problem::no_watermark_key)
    }

    /// What can be said about a recording. What a worker was to say and did not is an error, unless the builtin mark is
    /// there, which stands by itself.
    pub(crate) async fn report(
        &self,
        detector: Arc<Detector>,
        read: impl FnOnce() -> Result<Clip, Problem> + Send + 'static,
    ) -> Result<Report, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place =
            place.map_err(|_| Problem::overloaded("Too many recordings are being looked at at once. Try again."))?;
        let looking = tokio::task::spawn_blocking(move || {
            let clip = read()?;
            let finding = detector.examine(&clip.to_f32());
            // A caller who leaves does not make the thread free.
            Ok::<_, Problem>((place, clip, finding))
        });
        let (_place, clip, builtin) = looking.await.map_err(Problem::internal)??;
        let mut findings = vec![builtin];
        match self.ask_worker(&clip).await {
            Ok(more) => findings.extend(more),
            Err(problem) if findings[0].verdict != Verdict::Detected => return Err(problem),
            Err(_) => tracing::warn!("a recording's other marks could not be looked for"),
        }
        Report::of(findings).ok_or_else(|| Problem::internal("a report without findings"))
    }

    async fn ask_worker(&self, clip: &Clip) -> Result<Vec<Finding>, Problem> {
        if !self.desk.attended().await.map_err(Problem::undetermined)? {
            return Ok(Vec::new());
        }
        let findings = self.desk.ask(clip).await.map_err(Problem::undetermined)?;
        if findings.is_empty() {
            return Err(Problem::undetermined("the worker's answer holds no finding"));
        }
        let all_heard = clip.duration_ms() <= u64::from(SECONDS_MAX) * 1_000;
        Ok(findings.into_iter().map(|finding| if all_heard { finding } else { of_a_part(finding) }).collect())
    }
}

/// What was not found in the beginning of a recording may still be in the rest.
fn of_a_part(finding: Finding) -> Finding {
    let verdict = if finding.verdict == Verdict::NotDetected { Verdict::Inconclusive } else { finding.verdict };
    Finding { verdict, ..finding }
}
