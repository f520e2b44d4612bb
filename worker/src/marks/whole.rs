//! Marks that need a whole recording: SilentCipher's.

use std::f32::consts::{PI, TAU};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::JobId;
use tokio_util::sync::CancellationToken;

use super::{Finding, MarkError, Marked, Verdict, WatermarkKey};
use csm_silentcipher::{Bounds, CSM_MESSAGE_SDR, ExpectedPayload, Payload, SilentCipher, SilentCipherError};

const RATE: f32 = SAMPLE_RATE as f32;
/// Longest recording that SilentCipher marks as a whole: 2 min, about 120 MB. Longer recordings are
/// marked as a stream.
const WHOLE_SAMPLES: usize = 120 * SAMPLE_RATE as usize;
/// Samples that are pushed into a stream at once: 1 s.
const PIECE_SAMPLES: usize = SAMPLE_RATE as usize;
/// Samples of the self-test's clip: 3 s, three rounds of SilentCipher's message.
const SELF_TEST_SAMPLES: usize = 3 * SAMPLE_RATE as usize;
/// Job whose mark the self-test uses.
const SELF_TEST_JOB: &str = "5e1f7e57-0000-4000-8000-000000000000";
/// Gain that brings the self-test's clip to the loudness of speech.
const LOUDNESS: f32 = 0.1;

/// Scheme that marks a finished recording for a job, and finds the mark again. The trait lets tests
/// use marks that fail on purpose.
pub(super) trait WholeMark: Send + Sync {
    /// Marks a recording (24 kHz, full scale 1) and returns as many samples.
    fn embed(&self, clip: &[f32], job: &JobId) -> Result<Vec<f32>, MarkError>;

    /// Looks for this job's mark.
    fn examine(&self, clip: &[f32], job: &JobId) -> Result<Finding, MarkError>;
}

/// SilentCipher under one key. The lock admits one recording at a time, because a recording takes
/// all cores, and memory by its length. A search by [`SilentCipherMark::find`] releases the lock
/// between two readings.
pub(crate) struct SilentCipherMark {
    cipher: SilentCipher,
    key: WatermarkKey,
    lock: Arc<Mutex<()>>,
}

impl SilentCipherMark {
    /// Builds a mark that is as strong as CSM's own. `cipher` uses running statistics, so the
    /// length of a recording has no limit.
    pub(crate) fn new(cipher: &SilentCipher, key: &WatermarkKey) -> Self {
        Self { cipher: cipher.with_message_sdr(CSM_MESSAGE_SDR), key: key.clone(), lock: Arc::default() }
    }

    /// Looks for any payload of `known` in a recording from any source. The search ends at `until`,
    /// or if `stop` is cancelled.
    pub(crate) fn find(
        &self,
        clip: &[f32],
        known: &[ExpectedPayload],
        until: Instant,
        stop: &CancellationToken,
    ) -> Result<Finding, SilentCipherError> {
        let bounds = Bounds { until: Some(until), stop: stop.clone(), lock: Arc::clone(&self.lock) };
        self.cipher.find(clip, known, &bounds)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data that a panic could have spoiled.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WholeMark for SilentCipherMark {
    fn embed(&self, clip: &[f32], job: &JobId) -> Result<Vec<f32>, MarkError> {
        let payload = Payload::new(&self.key, job);
        let _lock = self.lock();
        if clip.len() <= WHOLE_SAMPLES {
            return Ok(self.cipher.embed(clip, payload)?);
        }
        let (mut stream, mut marked) = (self.cipher.stream(payload), Vec::with_capacity(clip.len()));
        for piece in clip.chunks(PIECE_SAMPLES) {
            marked.append(&mut stream.push(piece)?);
        }
        marked.append(&mut stream.finish()?);
        Ok(marked)
    }

    fn examine(&self, clip: &[f32], job: &JobId) -> Result<Finding, MarkError> {
        let known = ExpectedPayload::payload(Payload::new(&self.key, job));
        let _lock = self.lock();
        Ok(self.cipher.find_in_place(clip, &known)?)
    }
}

/// Marks a fixed clip, then looks for the mark in the marked clip and in the unmarked one. The
/// error says what is wrong.
pub(super) fn self_test(mark: &dyn WholeMark) -> Result<(), String> {
    let (clip, job) = (voice(), SELF_TEST_JOB.parse().unwrap_or_else(|_| JobId::generate()));
    let said = |error: MarkError| format!("the self-test failed: {error}");
    let marked = Marked::whole(mark, &job, &clip).map_err(said)?;
    let with_mark = mark.examine(&marked.to_f32(), &job).map_err(said)?;
    if with_mark.verdict != Verdict::Detected {
        let Finding { p_value, score, .. } = with_mark;
        return Err(format!(
            "the self-test marked a clip and did not find the mark (p = {p_value:.1e}, score {score:.2}): these are not \
             SilentCipher's weights, or they are damaged"
        ));
    }
    let without_mark = mark.examine(&clip, &job).map_err(said)?;
    if without_mark.verdict == Verdict::Detected {
        return Err(format!("the self-test found a mark in an unmarked clip (p = {:.1e})", without_mark.p_value));
    }
    Ok(())
}

/// Makes the self-test's clip, the same in every process: a tone of gliding pitch through two
/// resonances, over a little noise.
fn voice() -> Vec<f32> {
    let mut noise = 1_u32;
    let (mut phase, mut first, mut second) = (0.0, Resonator::at(700.0, 120.0), Resonator::at(1_900.0, 200.0));
    let sample = |n: usize| {
        let seconds = n as f32 / RATE;
        phase += (130.0 + 30.0 * (TAU * 0.7 * seconds).sin()) / RATE;
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase -= pulse;
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hiss = (noise >> 8) as f32 / (1 << 23) as f32 - 1.0;
        let excitation = pulse + 0.02 * hiss;
        LOUDNESS * (first.next(excitation) + 0.5 * second.next(excitation) + 0.2 * excitation)
    };
    (0..SELF_TEST_SAMPLES).map(sample).collect()
}

/// Two-pole resonance.
struct Resonator {
    feedback: [f32; 2],
    before: [f32; 2],
}

impl Resonator {
    fn at(hertz: f32, width: f32) -> Self {
        let radius = (-PI * width / RATE).exp();
        Self { feedback: [2.0 * radius * (TAU * hertz / RATE).cos(), -radius * radius], before: [0.0; 2] }
    }

    fn next(&mut self, input: f32) -> f32 {
        let [a, b] = self.feedback;
        let out = input + a * self.before[0] + b * self.before[1];
        self.before = [out, self.before[0]];
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    /// A search waits while a recording is being marked, but no longer than its time limit.
    #[test]
    fn a_search_waits_for_its_turn_in_vain_or_until_it_comes() {
        let weights = csm_testing::golden("silentcipher/small");
        let cipher = SilentCipher::load(&weights, csm_silentcipher::BnMode::Running).unwrap();
        let key = WatermarkKey::development();
        let (silent, known, stop) =
            (SilentCipherMark::new(&cipher, &key), [ExpectedPayload::key(&key)], CancellationToken::new());
        let look = |limit: Duration| silent.find(&voice(), &known, Instant::now() + limit, &stop);
        let marking = silent.lock();
        let refused = look(Duration::from_millis(50));
        assert!(matches!(refused, Err(SilentCipherError::OutOfTime)), "{refused:?}");
        drop(marking);
        assert_ne!(look(Duration::from_secs(600)).unwrap().verdict, Verdict::Detected);
    }
}
