//! Tests of the policies: the marks of files, and that no audio leaves when a mark fails.

use std::sync::Arc;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::JobId;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use crate::marks::whole::{self, WholeMark};
use crate::marks::{
    Detector, Files, Finding, LIVE_CHECK_EVERY_SAMPLES, LIVE_CHECK_WINDOW_SAMPLES, MarkError, Marked, Marker, Marking,
    Policy, Scheme, Verdict, WatermarkKey,
};

/// Samples of a frame.
const FRAME: usize = 1_920;

/// Visible mark: the job's id in the first samples. Its fields make it fail on purpose.
#[derive(Clone, Copy, Default)]
struct Stamp {
    /// Whether `embed` leaves the clip as it is.
    forgets: bool,
    /// Whether `examine` finds the mark everywhere.
    dreams: bool,
    /// Whether `embed` fails.
    fails: bool,
    /// Whether `examine` can never tell.
    doubts: bool,
}

impl Stamp {
    fn of(job: &JobId) -> Vec<f32> {
        job.to_string().bytes().map(|byte| f32::from(byte) / 32_768.0).collect()
    }
}

impl WholeMark for Stamp {
    fn embed(&self, clip: &[f32], job: &JobId) -> Result<Vec<f32>, MarkError> {
        if self.fails {
            return Err(MarkError::Died("on purpose".to_owned()));
        }
        let stamp = if self.forgets { Vec::new() } else { Self::of(job) };
        let rest = clip.get(stamp.len()..).unwrap_or_default();
        Ok(stamp.iter().chain(rest).copied().take(clip.len()).collect())
    }

    fn examine(&self, clip: &[f32], job: &JobId) -> Result<Finding, MarkError> {
        let verdict = match clip.starts_with(&Self::of(job)) {
            _ if self.doubts => Verdict::Inconclusive,
            there if there || self.dreams => Verdict::Detected,
            _ => Verdict::NotDetected,
        };
        let key_id = "stamp".to_owned();
        Ok(Finding { scheme: Scheme::Silentcipher, verdict, p_value: 0.5, score: 0.0, key_id, regions: Vec::new() })
    }
}

fn marker(policy: Policy, stamp: Stamp) -> Marker {
    Marker::new(&WatermarkKey::development()).unwrap().with(policy, Arc::new(stamp))
}

/// Makes a marker whose marks do not work any more.
pub(crate) fn broken_marker(key: &WatermarkKey) -> Marker {
    Marker::new(key).unwrap().with(Policy::Both, Arc::new(Stamp { fails: true, ..Stamp::default() }))
}

fn noise(seconds: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    (0..seconds * SAMPLE_RATE as usize).map(|_| (random.next_u32() >> 8) as f32 / (1 << 26) as f32 - 0.1).collect()
}

/// Pushes a clip frame by frame. Returns the live audio and the finished utterance.
fn say(mut marking: Marking, clip: &[f32]) -> Result<(Marked, super::super::Finished), MarkError> {
    let mut live = Marked::default();
    for frame in clip.chunks(FRAME) {
        live.append(marking.push(frame)?);
    }
    let (rest, finished) = marking.finish();
    live.append(rest);
    Ok((live, finished))
}

fn builtin_in(audio: &Marked) -> Verdict {
    Detector::new(&WatermarkKey::development()).detect(&audio.to_f32()).verdict
}

#[test]
fn a_file_carries_what_the_policy_says_and_live_audio_the_builtin_mark() {
    let (clip, job) = (noise(4), JobId::generate());
    let stamp = Stamp::default();
    let of = |policy| {
        let (live, finished) = say(marker(policy, stamp).begin(&job), &clip).unwrap();
        assert_eq!(builtin_in(&live), Verdict::Detected, "{policy}");
        assert_eq!(stamp.examine(&live.to_f32(), &job).unwrap().verdict, Verdict::NotDetected);
        let (whole, findings) = finished.complete().unwrap();
        assert_eq!(whole.samples().len(), clip.len());
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Detected), "{policy}: {findings:?}");
        let stamped = stamp.examine(&whole.to_f32(), &job).unwrap().verdict;
        let schemes: Vec<_> = findings.iter().map(|finding| finding.scheme).collect();
        (whole == live, builtin_in(&whole), stamped, schemes)
    };
    let (builtin, silentcipher) = (Scheme::Builtin, Scheme::Silentcipher);
    assert_eq!(of(Policy::Builtin), (true, Verdict::Detected, Verdict::NotDetected, vec![builtin]));
    assert_eq!(of(Policy::Both), (false, Verdict::Detected, Verdict::Detected, vec![builtin, silentcipher]));
    assert_eq!(of(Policy::Silentcipher), (false, Verdict::NotDetected, Verdict::Detected, vec![silentcipher]));
}

#[test]
fn no_audio_leaves_when_a_mark_is_lost_or_cannot_be_made() {
    let (clip, job) = (noise(3), JobId::generate());
    let told = |policy, stamp| {
        let (_, finished) = say(marker(policy, stamp).begin(&job), &clip).unwrap();
        finished.complete().map(|_| ()).unwrap_err()
    };
    for policy in [Policy::Both, Policy::Silentcipher] {
        let lost = told(policy, Stamp { forgets: true, ..Stamp::default() });
        assert!(matches!(&lost, MarkError::Lost(found) if found.scheme == Scheme::Silentcipher), "{policy}: {lost}");
        let failed = told(policy, Stamp { fails: true, ..Stamp::default() });
        assert!(matches!(failed, MarkError::Died(_)), "{policy}: {failed}");
    }
    // The builtin mark is lost, as if the other mark had covered it.
    let mut deaf = marker(Policy::Both, Stamp::default());
    deaf.detector = Arc::new(Detector::new(&other_key()));
    let (_, finished) = say(deaf.begin(&job), &clip).unwrap();
    let lost = finished.complete().map(|_| ()).unwrap_err();
    assert!(matches!(&lost, MarkError::Lost(found) if found.scheme == Scheme::Builtin), "{lost}");
}

#[test]
fn doubt_is_let_through_and_told() {
    let (clip, job) = (noise(1), JobId::generate());
    let doubts = Stamp { doubts: true, ..Stamp::default() };
    let (_, finished) = say(marker(Policy::Both, doubts).begin(&job), &clip[..FRAME]).unwrap();
    let (whole, findings) = finished.complete().unwrap();
    assert_eq!(whole.samples().len(), FRAME);
    assert_eq!(findings.iter().map(|found| found.verdict).collect::<Vec<_>>(), [Verdict::Inconclusive; 2]);

    let (rest, finished) = marker(Policy::Both, Stamp::default()).begin(&job).finish();
    let (whole, findings) = finished.complete().unwrap();
    assert_eq!((rest.samples().len(), whole.samples().len(), findings.len()), (0, 0, 0), "nothing said, nothing found");
}

#[test]
fn a_live_stream_without_its_mark_is_cut_at_the_first_look() {
    let mut deaf = marker(Policy::Builtin, Stamp::default());
    assert!(matches!(deaf.files, Files::Builtin));
    deaf.detector = Arc::new(Detector::new(&other_key()));
    let mut marking = deaf.begin(&JobId::generate());
    let mut left = 0;
    let lost = noise(10).chunks(FRAME).find_map(|frame| match marking.push(frame) {
        Ok(ready) => {
            left += ready.samples().len();
            None
        }
        Err(lost) => Some(lost),
    });
    assert!(matches!(lost, Some(MarkError::Lost(_))), "{lost:?}");
    assert!((LIVE_CHECK_WINDOW_SAMPLES - FRAME..LIVE_CHECK_WINDOW_SAMPLES).contains(&left), "{left} samples had left");
}

#[test]
fn pauses_do_not_cut_a_live_stream() {
    // Each 5 s hold 0.6 s of sound, so no check sees more.
    let clip: Vec<f32> = noise(90)
        .chunks(LIVE_CHECK_WINDOW_SAMPLES)
        .flat_map(|part| quiet_from(part, 6 * SAMPLE_RATE as usize / 10))
        .collect();
    assert!(clip.len() > LIVE_CHECK_EVERY_SAMPLES * 2);
    let (live, finished) = say(marker(Policy::Builtin, Stamp::default()).begin(&JobId::generate()), &clip).unwrap();
    assert_eq!(live.samples().len(), clip.len());
    assert_eq!(finished.complete().unwrap().1[0].verdict, Verdict::Detected);
}

fn quiet_from(part: &[f32], from: usize) -> impl Iterator<Item = f32> {
    part.iter().enumerate().map(move |(n, sample)| if n < from { *sample } else { 0.0 })
}

#[test]
fn the_self_test_sees_what_is_wrong() {
    whole::self_test(&Stamp::default()).unwrap();
    let wrong = |stamp: Stamp| whole::self_test(&stamp).unwrap_err();
    assert!(wrong(Stamp { forgets: true, ..Stamp::default() }).contains("did not find the mark"));
    assert!(wrong(Stamp { doubts: true, ..Stamp::default() }).contains("did not find the mark"));
    assert!(wrong(Stamp { dreams: true, ..Stamp::default() }).contains("in an unmarked clip"));
    assert!(wrong(Stamp { fails: true, ..Stamp::default() }).contains("on purpose"));
}

fn other_key() -> WatermarkKey {
    WatermarkKey::parse("some other deployment's secret").unwrap()
}
