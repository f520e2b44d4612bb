//! Marks of the worker's audio: which marks the audio gets, and checks that none leaves without
//! them.
//!
//! All generated speech goes through a [`Marking`]. Live audio carries the builtin mark and is
//! checked now and then. The finished file carries the marks that the [`Policy`] names. Every
//! detector of the policy checks the file before it is delivered. Any failure is an error, and no
//! audio leaves.

mod marked;
mod policy;
#[cfg(test)]
mod tests;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use csm_shared::audio::{SAMPLE_RATE, to_f32};
use csm_shared::job::JobId;
use csm_shared::models::HubError;

pub use csm_shared::watermark::{
    DETECTED_ABOVE, Detection, Detector, Finding, MarkStream, Scheme, Verdict, Watermark, WatermarkError, WatermarkKey,
    WatermarkKeyId,
};
pub use marked::Marked;
pub use policy::{ChosenPolicy, MarkArgs, Policy};

#[cfg(test)]
pub(crate) use tests::broken_marker;

use csm_silentcipher::{BnMode, SilentCipher, SilentCipherError};
pub(crate) use whole::SilentCipherMark;
use whole::WholeMark;

/// Samples of live audio between two checks of the mark: 30 s.
const LIVE_CHECK_EVERY_SAMPLES: usize = 30 * SAMPLE_RATE as usize;
/// Samples that one check examines: 5 s. The first check comes after as many samples.
const LIVE_CHECK_WINDOW_SAMPLES: usize = 5 * SAMPLE_RATE as usize;

/// Longest search for a mark in a finished recording.
const FINAL_CHECK_LIMIT: Duration = Duration::from_secs(60);
/// Longest time that SilentCipher may take for each second of audio.
const MARKING_LIMIT_PER_SECOND: Duration = Duration::from_secs(2);

/// Failure to mark audio, or to find its mark again. The audio must not leave the worker.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The builtin mark failed.
    #[error(transparent)]
    Builtin(#[from] WatermarkError),
    /// Audio does not hold the mark that was put on it.
    #[error("the {} mark was put on the audio and not found in it (p = {:.1e})", .0.scheme.name(), .0.p_value)]
    Lost(Box<Finding>),
    /// SilentCipher failed on a recording.
    #[error(transparent)]
    Silentcipher(#[from] SilentCipherError),
    /// The weights for a mark of the policy are not available.
    #[error("SilentCipher's weights: {0}")]
    Weights(#[from] HubError),
    /// The weights are there, but make no mark.
    #[error("SilentCipher's weights in {}: {why}", .folder.display())]
    Unusable {
        /// Folder of the weights.
        folder: PathBuf,
        /// Reason why the weights are unusable.
        why: String,
    },
    /// A mark that worked at the start does not work any more.
    #[error("SilentCipher: {0}")]
    SelfTest(String),
    /// The thread that loaded the weights panicked.
    #[error("loading SilentCipher: {0}")]
    Died(String),
}

/// Marks of finished files, with the schemes that make them.
#[derive(Clone)]
enum Files {
    Builtin,
    Silentcipher(Arc<dyn WholeMark>),
    Both(Arc<dyn WholeMark>),
}

/// Marker of speech under a policy. Cloning shares tables and models.
#[derive(Clone)]
pub struct Marker {
    builtin: Watermark,
    detector: Arc<Detector>,
    files: Files,
    silentcipher: Option<Arc<SilentCipherMark>>,
}

impl Marker {
    /// Builds a marker of the builtin mark alone, and runs its self-test.
    ///
    /// # Errors
    /// [`MarkError`]: the worker must not generate speech.
    pub fn new(key: &WatermarkKey) -> Result<Self, MarkError> {
        let builtin = Watermark::new(key);
        builtin.self_test()?;
        Ok(Self { detector: Arc::new(builtin.detector()), builtin, files: Files::Builtin, silentcipher: None })
    }

    /// Adds SilentCipher, as far as `policy` needs it, and runs its self-test. Takes long.
    ///
    /// # Errors
    /// [`MarkError::Unusable`] names the folder; the worker must not generate speech.
    pub fn with_silentcipher(self, key: &WatermarkKey, policy: Policy, folder: &Path) -> Result<Self, MarkError> {
        let unusable = |why| MarkError::Unusable { folder: folder.to_owned(), why };
        let cipher = SilentCipher::load(folder, BnMode::Running).map_err(|error| unusable(error.to_string()))?;
        let mark = Arc::new(SilentCipherMark::new(&cipher, key));
        whole::self_test(&*mark).map_err(unusable)?;
        Ok(Self { silentcipher: Some(Arc::clone(&mark)), ..self.with(policy, mark) })
    }

    /// Runs the self-tests of all marks that files get. Takes long with SilentCipher.
    ///
    /// # Errors
    /// [`MarkError`]: the worker must not generate speech.
    pub fn self_test(&self) -> Result<(), MarkError> {
        self.builtin.self_test()?;
        match &self.files {
            Files::Builtin => Ok(()),
            Files::Silentcipher(mark) | Files::Both(mark) => whole::self_test(&**mark).map_err(MarkError::SelfTest),
        }
    }

    /// Returns SilentCipher, if its weights are loaded.
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

    /// Fails if the builtin mark is not in `audio`, unless `audio` is too short or too quiet to
    /// tell.
    fn check(&self, audio: &[f32]) -> Result<Finding, MarkError> {
        require_detected(self.detector.examine(audio))
    }
}

/// Marking of one utterance while it is generated.
pub struct Marking {
    marker: Marker,
    job: JobId,
    stream: MarkStream,
    /// Marked samples handed out so far.
    live: Marked,
    /// Number of samples handed out at which the next check is due.
    next_check: usize,
    /// Unmarked input, kept only under policy `silentcipher`, whose files carry no builtin mark.
    /// Never delivered.
    unmarked: Option<Vec<f32>>,
}

impl Marking {
    /// Marks the next samples (24 kHz, full scale 1) and returns those that may leave at once.
    /// Checks the returned audio for the mark after the first 5 s, then every 30 s.
    ///
    /// # Errors
    /// [`MarkError::Lost`]: these samples must not leave, nor any after them.
    pub fn push(&mut self, pcm: &[f32]) -> Result<Marked, MarkError> {
        if let Some(unmarked) = &mut self.unmarked {
            unmarked.extend_from_slice(pcm);
        }
        let ready = Marked::from(self.stream.push(pcm));
        self.live.append(ready.clone());
        if self.live.samples().len() >= self.next_check {
            self.check_live()?;
            self.next_check += LIVE_CHECK_EVERY_SAMPLES;
        }
        Ok(ready)
    }

    /// Looks for the mark in the last 5 s. If the mark is not there, looks in the last 30 s,
    /// because 5 s may hold little more than a pause.
    fn check_live(&self) -> Result<(), MarkError> {
        let live = self.live.samples();
        let last = |samples: usize| -> Vec<f32> {
            live[live.len().saturating_sub(samples)..].iter().copied().map(to_f32).collect()
        };
        self.marker
            .check(&last(LIVE_CHECK_WINDOW_SAMPLES))
            .or_else(|_| self.marker.check(&last(LIVE_CHECK_EVERY_SAMPLES)))
            .map(drop)
    }

    /// Ends the utterance. Returns the rest of the live audio, and the whole utterance for its
    /// other marks.
    #[must_use]
    pub fn finish(self) -> (Marked, Finished) {
        let Self { marker, job, stream, mut live, unmarked, .. } = self;
        let rest = Marked::from(stream.finish());
        live.append(rest.clone());
        (rest, Finished { marker, job, live, unmarked })
    }
}

/// Whole utterance that may still lack marks of the policy.
pub struct Finished {
    marker: Marker,
    job: JobId,
    live: Marked,
    unmarked: Option<Vec<f32>>,
}

impl Finished {
    /// Returns the time limit of [`Finished::complete`], enough for a slow machine that finishes
    /// several utterances at once.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        let seconds = self.live.samples().len().div_ceil(SAMPLE_RATE as usize) as u32;
        match self.marker.files {
            Files::Builtin => FINAL_CHECK_LIMIT,
            Files::Silentcipher(_) | Files::Both(_) => FINAL_CHECK_LIMIT + MARKING_LIMIT_PER_SECOND * seconds,
        }
    }

    /// Adds the marks of the policy that are missing, and looks for all marks of the policy. Passes
    /// audio that is too short or too quiet to tell, with a finding that says so. Takes long: call
    /// it on a thread that may block.
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
            Files::Both(mark) => (Marked::whole(&**mark, &job, &live.to_f32())?, Some(mark)),
            Files::Silentcipher(mark) => (Marked::whole(&**mark, &job, &unmarked.unwrap_or_default())?, Some(mark)),
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

/// Returns the finding without its regions, because a receipt is about the whole file. Fails if the
/// verdict is "not detected".
fn require_detected(found: Finding) -> Result<Finding, MarkError> {
    match found.verdict {
        Verdict::Detected | Verdict::Inconclusive => Ok(Finding { regions: Vec::new(), ..found }),
        Verdict::NotDetected => Err(MarkError::Lost(Box::new(found))),
    }
}
