//! Tests with partly marked recordings and with long ones.

use super::mark;
use super::signals::{hiss, looped, resampled, samples_of, voice};
use crate::watermark::{DETECTED_ABOVE, Detector, Finding, MAX_SECONDS, Region, Verdict, WatermarkKey};

fn examine(clip: &[f32]) -> Finding {
    Detector::new(&WatermarkKey::development()).examine(clip)
}

/// Returns `bed` with `clip` in it, from `at` seconds on.
fn within(bed: &[f32], at: f32, clip: &[f32]) -> Vec<f32> {
    let mut whole = bed.to_vec();
    whole[samples_of(at)..][..clip.len()].copy_from_slice(clip);
    whole
}

#[test]
fn five_marked_seconds_in_a_minute_are_found_and_placed() {
    let bed = voice(30, 60.0);
    assert_eq!(examine(&bed).verdict, Verdict::NotDetected);
    assert_eq!(examine(&bed).regions, []);
    for (seed, at) in [(31, 0.0), (32, 23.456), (33, 54.9)] {
        let found = examine(&within(&bed, at, &mark(&voice(seed, 5.0)).to_f32()));
        println!("5 s of 60, from {at}: z {:.1}, {:?}", found.score, found.regions);
        assert!(found.score > 1.25 * f64::from(DETECTED_ABOVE), "{found:?}");
        let [Region { start_ms, end_ms }] = found.regions[..] else { panic!("{found:?}") };
        let begins = (at * 1_000.0) as u64;
        assert!(start_ms.abs_diff(begins) <= 2_000 && end_ms.abs_diff(begins + 5_000) <= 2_000, "{found:?}");
    }
}

#[test]
fn two_utterances_are_two_parts() {
    let marked = |seed| mark(&voice(seed, 4.0)).to_f32();
    let found = examine(&within(&within(&voice(34, 30.0), 3.21, &marked(35)), 20.02, &marked(36)));
    let [first, second] = found.regions[..] else { panic!("{found:?}") };
    assert!(first.end_ms < 10_000 && second.start_ms > 17_000, "{found:?}");
}

/// Each utterance begins its own pattern, so the whole recording has no pattern in common.
#[test]
fn many_short_utterances_are_one_long_part() {
    let joined: Vec<f32> = (0..9).flat_map(|n| mark(&voice(40 + n, 3.07)).to_f32()).collect();
    let found = examine(&joined);
    let [Region { start_ms, end_ms }] = found.regions[..] else { panic!("{found:?}") };
    assert!(start_ms <= 1_500 && end_ms >= 26_000, "{found:?}");
}

#[test]
fn a_short_clip_is_one_part_and_its_report_has_it_all() {
    let found = examine(&mark(&voice(37, 2.5)).to_f32());
    assert_eq!(found.regions, [Region { start_ms: 0, end_ms: 2_500 }]);
    let whole = examine(&mark(&voice(38, 9.0)).to_f32());
    assert_eq!(whole.regions, [Region { start_ms: 0, end_ms: 9_000 }]);
}

/// A recording that was not examined as a whole never gets "not detected".
#[test]
fn only_so_much_of_a_long_recording_is_looked_at() {
    let mut long = looped(39, MAX_SECONDS as f32, 0.1);
    assert_eq!(examine(&long).verdict, Verdict::NotDetected);
    long.extend(mark(&voice(39, 5.0)).to_f32());
    let found = examine(&long);
    assert_eq!((found.verdict, found.regions), (Verdict::Inconclusive, vec![]));
}

#[test]
fn a_thorough_search_finds_a_clip_at_another_speed() {
    let detector = Detector::new(&WatermarkKey::development());
    let marked = mark(&voice(50, 5.0)).to_f32();
    for percent in [-2.0, -1.0, -0.7, 0.0, 0.75, 1.0, 1.3] {
        let clip = resampled(&marked, 1.0 + percent / 100.0);
        let found = detector.examine_thoroughly(&clip);
        println!("{percent} % faster: z {:.1}, {:?}", found.score, found.regions);
        assert!(found.score > 1.2 * f64::from(DETECTED_ABOVE), "{percent} %: {found:?}");
        let [Region { start_ms, end_ms }] = found.regions[..] else { panic!("{found:?}") };
        let length = clip.len() as u64 / 24;
        assert!(start_ms == 0 && end_ms.abs_diff(length) < 100, "{percent} %: {found:?} of {length} ms");
    }
    assert_eq!(detector.examine(&resampled(&marked, 1.01)).verdict, Verdict::NotDetected, "the quick search does not");
    assert_eq!(detector.examine_thoroughly(&hiss(51, 3.0, 0.1)).verdict, Verdict::NotDetected);
}
