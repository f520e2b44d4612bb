//! What the worker does with marks: which of them audio gets, and that nothing leaves without.
//!
//! Everything that is spoken goes through a [`Marking`]. What leaves while it is being spoken carries the builtin mark, and
//! is listened to now and then. The finished file carries what the [`Policy`] says, and is listened to by every detector of
//! the policy before anybody gets it. Any failure is an error and no audio.

mod policy;
#[cfg(test)]
mod tests;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::JobId;
use csm_shared::models::HubError;

pub use csm_shared::watermark::{
    DETECTED_ABOVE, Detection, Detector, Embedder, Finding, MarkStream, Marked, Scheme, Verdict, Watermark,
    WatermarkError, WatermarkKey, WatermarkKeyId,
};
pub use policy::{ChosenPolicy, MarkArgs, Policy};

use csm_silentcipher::{BnMode, SilentCipher, SilentCipherError};
pub(crate) use whole::SilentCipherMark;
use whole::{ForJob, WholeMark};

/// Samples of live audio between two looks for the mark: 30 s.
const LIVE_CHECK_EVERY_SAMPLES: usize = 30 * SAMPLE_RATE as usize;
/// Samples that a look takes in: 5 s. The first comes when there are as many.
const LIVE_CHECK_WINDOW_SAMPLES: usize = 5 * SAMPLE_RATE as usize;

/// Longest search for a mark in a finished recording.
const FINAL_CHECK_LIMIT: Duration = Duration::from_secs(60);
/// Longest that SilentCipher takes for each second of audio.
const MARKING_LIMIT_PER_SECOND: Duration = Duration::from_secs(2);

/// Audio could not be marked, or its mark was not found again. It does not leave.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The builtin mark's own reasons.
    #[error(transparent)]
    Builtin(#[from] WatermarkError),
    /// Audio does not hold the mark that was put on it.
    #[error("the {} mark was put on the audio and not found in it (p = {:.1e})", .0.scheme.name(), .0.p_value)]
    Lost(Box<Finding>),
    /// SilentCipher failed on a recording.
    #[error(transparent)]
    Silentcipher(#[from] SilentCipherError),
    /// There are no weights for a mark of the policy.
    #[error("SilentCipher's weights: {0}")]
    Weights(#[from] HubError),
    /// There are, but they make no mark.
    #[error("SilentCipher's weights in {}: {why}", .folder.display())]
    Unusable {
        /// Where they are.
        folder: PathBuf,
        /// What is wrong with them.
        why: String,
    },
    /// The thread that loaded them panicked.
    #[error("loading SilentCipher: {0}")]
    Died(String),
}

/// The marks of finished files, with what they need.
#[derive(Clone)]
enum Files {
    Builtin,
    Silentcipher(Arc<dyn WholeMark>),
    Both(Arc<dyn WholeMark>),
}

/// Puts marks on speech, as the policy says. Cloning shares tables and models.
#[derive(Clone)]
pub struct Marker {
    builtin: Watermark,
    detector: Arc<Detector>,
    files: Files,
    silentcipher: Option<Arc<SilentCipherMark>>,
}

impl Marker {
    /// A marker of the builtin mark alone that has passed its self-test.
    ///
    /// # Errors
    /// [`MarkError`]: nothing may be spoken.
    pub fn new(key: &WatermarkKey) -> Result<Self, MarkError> {
        let builtin = Watermark::new(key);
        builtin.self_test()?;
        Ok(Self { detector: Arc::new(builtin.detector()), builtin, files: Files::Builtin, silentcipher: None })
    }

    /// The marker with SilentCipher's weights for what `policy` asks of them, after a self-test. Takes long.
    ///
    /// # Errors
    /// [`MarkError::Unusable`] names the folder: nothing may be spoken.
    pub fn with_silentcipher(self, key: &WatermarkKey, policy: Policy, folder: &Path) -> Result<Self, MarkError> {
        let unusable = |why| MarkError::Unusable { folder: folder.to_owned(), why };
        let cipher = SilentCipher::load(folder, BnMode::Running).map_err(|error| unusable(error.to_string()))?;
        let mark = Arc::new(SilentCipherMark::new(&cipher, key));
        whole::self_test(&*mark).map_err(unusable)?;
        Ok(Self { silentcipher: Some(Arc::clone(&mark)), ..self.with(policy, mark) })
    }

    /// SilentCipher, where the policy has it.
    pub(crate) fn silentcipher(&self) -> Option<Arc<SilentCipherMark>> {
        self.silentcipher.clone()
    }

    fn with(self, policy: Policy, mark: Arc<dyn WholeMark>) -> Self {
        let files = match policy {
            Policy::Builtin => Files::Builtin,
            Policy::Silentcipher => Files::Silentcipher(mark),
            Policy::Both => Files::Both(mark),
        };
        Self { files, ..self }
    }

    /// Begins one utterance of a job.
    #[must_use]
    pub fn begin(&self, job: &JobId) -> Marking {
        Marking {
            job: *job,
            stream: self.builtin.stream(),
            live: Marked::default(),
            next_check: LIVE_CHECK_WINDOW_SAMPLES,
            unmarked: matches!(self.files, Files::Silentcipher(_)).then(Vec::new),
            marker: self.clone(),
        }
    }

    /// The builtin mark must be in `audio`, unless that is too little to tell.
    fn check(&self, audio: &[f32]) -> Result<Finding, MarkError> {
        require_detected(self.detector.examine(audio))
    }
}

/// One utterance on its way through the marks.
pub struct Marking {
    marker: Marker,
    job: JobId,
    stream: MarkStream,
    /// Everything handed out.
    live: Marked,
    /// Samples handed out at the next look.
    next_check: usize,
    /// What was pushed, where the file is to carry none of the live mark. It does not leave.
    unmarked: Option<Vec<f32>>,
}

impl Marking {
    /// Marks the next samples (24 kHz, full scale 1) and hands out what may leave at once. Now and then it looks for the mark
    /// in what it hands out: after the first 5 s, then each 30 s.
    ///
    /// # Errors
    /// [`MarkError::Lost`]: these samples must not leave, nor any after them.
    pub fn push(&mut self, pcm: &[f32]) -> Result<Marked, MarkError> {
        if let Some(unmarked) = &mut self.unmarked {
            unmarked.extend_from_slice(pcm);
        }
        let ready = self.stream.push(pcm);
        self.live.append(ready.clone());
        if self.live.samples().len() >= self.next_check {
            self.check_live()?;
            self.next_check += LIVE_CHECK_EVERY_SAMPLES;
        }
        Ok(ready)
    }

    /// Looks for the mark in the last 5 s; where it is not, in all that came since the look before, since 5 s may hold
    /// little more than a pause.
    fn check_live(&self) -> Result<(), MarkError> {
        let live = self.live.samples();
        let last = |samples: usize| -> Vec<f32> {
            live[live.len().saturating_sub(samples)..].iter().map(|&sample| f32::from(sample) / 32_768.0).collect()
        };
        self.marker
            .check(&last(LIVE_CHECK_WINDOW_SAMPLES))
            .or_else(|_| self.marker.check(&last(LIVE_CHECK_EVERY_SAMPLES)))
            .map(drop)
    }

    /// Ends the utterance: hands out the rest that may leave at once.
    #[must_use]
    pub fn finish(self) -> (Marked, Finished) {
        let Self { marker, job, stream, mut live, unmarked, .. } = self;
        let rest = stream.finish();
        live.append(rest.clone());
        (rest, Finished { marker, job, live, unmarked })
    }
}

/// A whole utterance, not yet with all its marks.
pub struct Finished {
    marker: Marker,
    job: JobId,
    live: Marked,
    unmarked: Option<Vec<f32>>,
}

impl Finished {
    /// How long [`Finished::complete`] may take on a slow machine, while others finish as well.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        let seconds = self.live.samples().len().div_ceil(SAMPLE_RATE as usize) as u32;
        match self.marker.files {
            Files::Builtin => FINAL_CHECK_LIMIT,
            Files::Silentcipher(_) | Files::Both(_) => FINAL_CHECK_LIMIT + MARKING_LIMIT_PER_SECOND * seconds,
        }
    }

    /// Puts on what marks of the policy are missing, and looks for all of them. What is too short or too quiet to tell is let
    /// through, and its finding says so. Takes long; not for a thread that others wait for.
    ///
    /// # Errors
    /// [`MarkError`]: the audio must not leave.
    pub fn complete(self) -> Result<(Marked, Vec<Finding>), MarkError> {
        let Self { marker, job, live, unmarked } = self;
        if live.samples().is_empty() {
            return Ok((live, Vec::new()));
        }
        let (whole, mark) = match &marker.files {
            Files::Builtin => (live, None),
            Files::Both(mark) => (put(&**mark, &job, &live.to_f32())?, Some(mark)),
            Files::Silentcipher(mark) => (put(&**mark, &job, &unmarked.unwrap_or_default())?, Some(mark)),
        };
        let audio = whole.to_f32();
        let mut findings = Vec::new();
        if !matches!(marker.files, Files::Silentcipher(_)) {
            findings.push(marker.check(&audio)?);
        }
        if let Some(mark) = mark {
            findings.push(require_detected(mark.examine(&audio, &job)?)?);
        }
        Ok((whole, findings))
    }
}

fn put(mark: &dyn WholeMark, job: &JobId, audio: &[f32]) -> Result<Marked, MarkError> {
    Marked::by(&ForJob { mark, job }, audio)
}

/// The finding, without places: a receipt is about the whole.
fn require_detected(found: Finding) -> Result<Finding, MarkError> {
    match found.verdict {
        Verdict::Detected | Verdict::Inconclusive => Ok(Finding { regions: Vec::new(), ..found }),
        Verdict::NotDetected => Err(MarkError::Lost(Box::new(found))),
    }
}
