//! MP3: the mark is still in the decoded file.

use csm_shared::audio::read;

use super::*;
use crate::marks::{DETECTED_ABOVE, Verdict};

#[test]
fn the_mark_survives() {
    let detector = watermark().detector();
    let mut least = f32::INFINITY;
    for seed in 0..12 {
        let file = encode(&mark(&voice(seed, 60_000)), AudioFormat::Mp3).unwrap();
        let detection = detector.detect(&read(&file).unwrap().clip.to_f32());
        assert_eq!(detection.verdict, Verdict::Detected, "{detection:?}");
        least = least.min(detection.z);
    }
    println!("2.5 s at {} b/s: least z {least:.1}", csm_formats::MP3_BITRATE);
    assert!(least > 1.2 * DETECTED_ABOVE, "{least}");
}
