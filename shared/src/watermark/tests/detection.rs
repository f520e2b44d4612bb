//! Tests of the detector's verdicts: detected, not detected and inconclusive.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::signals::{amplified, bursts, hiss, looped, round_trip, samples_of, voice, with_noise};
use super::{mark, watermark};
use crate::watermark::detect::HYPOTHESES;
use crate::watermark::{
    DETECTED_ABOVE, Detection, Detector, MarkStream, Verdict, Watermark, WatermarkError, WatermarkKey,
};

fn detect(clip: &[f32]) -> Detection {
    watermark().detector().detect(clip)
}

fn marked_voices(count: u64, seconds: f32) -> Vec<Vec<f32>> {
    (0..count).map(|seed| mark(&voice(100 + seed, seconds)).to_f32()).collect()
}

/// Returns the least score over clips of `seconds`, each cut out 137 ms after the utterance began.
fn weakest(clips: &[Vec<f32>], seconds: f32, damage: impl Fn(&[f32]) -> Vec<f32>) -> f32 {
    let cut = samples_of(0.137)..samples_of(0.137 + seconds);
    clips.iter().map(|clip| detect(&damage(&clip[cut.clone()])).z).fold(f32::INFINITY, f32::min)
}

/// Named damages to a clip.
type Damage = (&'static str, fn(&[f32]) -> Vec<f32>);

const DAMAGES: [Damage; 7] = [
    ("cut out", |clip| clip.to_vec()),
    ("12 dB softer", |clip| amplified(clip, -12.0)),
    ("30 dB softer", |clip| amplified(clip, -30.0)),
    ("upside down", |clip| clip.iter().map(|sample| -sample).collect()),
    ("16 kHz and back", |clip| round_trip(clip, 16_000)),
    ("8 kHz and back", |clip| round_trip(clip, 8_000)),
    ("noise at 40 dB", |clip| with_noise(clip, 9, 40.0)),
];

#[test]
fn speech_is_found_under_ordinary_damage() {
    let clips = marked_voices(12, 2.7);
    for (name, damage) in DAMAGES {
        let z = weakest(&clips, 2.5, damage);
        println!("2.5 s of voice, {name}: z at least {z:.1}");
        assert!(z > DETECTED_ABOVE + 1.0, "{name}: {z}");
    }
}

#[test]
fn two_seconds_are_found_with_a_wide_margin() {
    let z = weakest(&marked_voices(12, 2.2), 2.0, <[f32]>::to_vec);
    println!("2 s of voice: z at least {z:.1}");
    assert!(z > 1.25 * DETECTED_ABOVE, "{z}");
}

#[test]
fn the_cut_may_fall_anywhere() {
    let marked = mark(&voice(7, 3.0)).to_f32();
    for start in (0..10_000).step_by(617) {
        let found = detect(&marked[start..start + samples_of(2.0)]);
        assert!(found.z > 1.25 * DETECTED_ABOVE, "from {start}: {found:?}");
    }
}

#[test]
fn faint_hiss_and_bursts_are_found() {
    for (name, clip) in [
        ("hiss at -40 dBFS", hiss(1, 2.0, 0.01)),
        ("hiss at -70 dBFS", hiss(2, 2.0, 10.0 / 32_768.0)),
        ("hiss at -80 dBFS", hiss(3, 2.0, 3.0 / 32_768.0)),
        ("bursts at -40 dBFS", bursts(4, 2.0, 0.01)),
        ("a loop of one frame", looped(5, 2.0, 0.01)),
    ] {
        let found = detect(&mark(&clip).to_f32());
        println!("2 s of {name}: z {:.1}", found.z);
        assert!(found.z > 1.2 * DETECTED_ABOVE, "{name}: {found:?}");
    }
}

/// Rounding to 16 bit drowns the mark. At one step RMS the mark is still there; at a tenth, only
/// zeros are left.
#[test]
fn near_silence_is_the_edge() {
    let score = |steps: f32| detect(&mark(&hiss(6, 5.0, steps / 32_768.0)).to_f32());
    for steps in [1.0, 0.5, 0.3] {
        println!("5 s of hiss at {steps} steps: z {:.1}", score(steps).z);
    }
    assert_eq!(score(1.0).verdict, Verdict::Detected);
    assert_eq!(score(0.1).verdict, Verdict::Inconclusive);
    assert_eq!(detect(&[0.0; 72_000]).verdict, Verdict::Inconclusive);
}

#[test]
fn an_unmarked_clip_and_a_wrong_key_find_nothing() {
    let wrong = Watermark::new(&WatermarkKey::parse("somebody else's passphrase").unwrap());
    for clip in [voice(8, 5.0), hiss(8, 5.0, 0.1), bursts(8, 5.0, 0.01)] {
        assert_eq!(detect(&clip).verdict, Verdict::NotDetected);
        let marked = mark(&clip).to_f32();
        assert_eq!(detect(&marked).verdict, Verdict::Detected);
        let by_wrong_key = wrong.detector().detect(&marked);
        assert_eq!(by_wrong_key.verdict, Verdict::NotDetected);
        assert_eq!(by_wrong_key.key_id, wrong.key_id());
    }
}

#[test]
fn what_is_too_short_or_too_empty_gets_no_no() {
    for clip in [vec![], vec![0.1], voice(9, 0.9), hiss(9, 0.99, 0.1), vec![0.0; 96_000]] {
        let found = detect(&clip);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{} samples: {found:?}", clip.len());
    }
}

#[test]
fn the_mark_survives_joining_utterances_and_being_part_of_more() {
    let mut joined = hiss(10, 1.3, 0.05);
    joined.extend(mark(&voice(11, 4.0)).to_f32());
    joined.extend(hiss(12, 1.1, 0.05));
    assert_eq!(detect(&joined).verdict, Verdict::Detected);
}

#[test]
fn the_self_test_passes_and_sees_a_lost_mark() {
    assert_eq!(watermark().self_test(), Ok(()));
    let other = WatermarkKey::parse("somebody else's passphrase").unwrap();
    let broken = Watermark { key: other, plan: watermark().plan };
    assert!(matches!(broken.self_test(), Err(WatermarkError::MarkLost { .. })));
}

#[test]
fn ten_seconds_are_judged_in_well_under_one() {
    let clip = hiss(13, 10.0, 0.1);
    let detector = Detector::new(&WatermarkKey::development());
    let begun = Instant::now();
    assert_eq!(detector.detect(&clip).verdict, Verdict::NotDetected);
    println!("10 s judged in {:?}, {HYPOTHESES} hypotheses", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_stream_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<MarkStream>();
    assert_send::<Detector>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_clip_panics(clip in prop::collection::vec(any::<f32>(), 0..5_000)) {
        let found = detect(&clip);
        prop_assert!(found.z.is_finite());
    }
}
