//! Tests of the stream: the same output however the input is cut up, and close to the whole clip's.

use super::{BnMode, narrow, snr, voice};
use crate::{Payload, SilentCipher, SilentCipherError};

const PAYLOAD: Payload = Payload([7, 99, 200, 31, 128]);

/// Returns the stream's samples, and the number of those that had left before the end.
fn streamed(cipher: &SilentCipher, clip: &[f32], pieces: &[usize]) -> (Vec<f32>, usize) {
    let mut stream = cipher.stream(PAYLOAD);
    let mut out = Vec::new();
    let mut rest = clip;
    for &piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        out.extend(stream.push(now).unwrap());
        rest = later;
    }
    let before = out.len();
    out.extend(stream.finish().unwrap());
    (out, before)
}

#[test]
fn any_cutting_gives_the_same_samples() {
    let cipher = narrow(BnMode::Running);
    let voice = voice(36_000);
    for length in [0, 1, 1_000, 4_459, 36_000] {
        let clip = &voice[..length];
        let (whole, _) = streamed(&cipher, clip, &[length.max(1)]);
        assert_eq!(whole.len(), length);
        for pieces in [&[1_920][..], &[1, 2_000, 3], &[777, 12_000], &[5_760]] {
            assert_eq!(streamed(&cipher, clip, pieces).0, whole, "{length} by {pieces:?}");
        }
    }
    let voice = &voice[..3_000];
    assert_eq!(streamed(&cipher, voice, &[1]).0, streamed(&cipher, voice, &[3_000]).0);
}

#[test]
fn a_sample_leaves_after_less_than_half_a_second() {
    let (out, before) = streamed(&narrow(BnMode::Running), &voice(36_000), &[1_920]);
    assert_eq!(out.len(), 36_000);
    let behind = 36_000 - before;
    println!("{behind} samples behind");
    assert!(behind < 12_000, "{behind} samples behind");
}

#[test]
fn the_mark_of_a_stream_is_that_of_the_clip() {
    // At the level that the stream assumes, clip and stream differ by the running estimate alone.
    let cipher = narrow(BnMode::Running);
    let clip: Vec<f32> =
        (0..48_000).map(|at| 0.0752 * (at as f32 * 0.13 + (at as f32 * 0.0007).sin() * 9.0).sin()).collect();
    let (stream, _) = streamed(&cipher, &clip, &[1_920]);
    let whole = cipher.embed(&clip, PAYLOAD).unwrap();
    let marks = |marked: &[f32]| marked.iter().zip(&clip).map(|(a, b)| a - b).collect::<Vec<f32>>();
    let alike = snr(&marks(&stream), &marks(&whole));
    println!("mark {:.1} dB below the clip, alike to {alike:.1} dB", snr(&stream, &clip));
    assert!(alike > 20.0, "the stream's mark is alike to {alike:.1} dB");

    let other = cipher.embed(&clip, Payload([255, 1, 77, 128, 9])).unwrap();
    let unlike = snr(&marks(&other), &marks(&whole));
    assert!(unlike < alike - 6.0, "another payload's mark is alike to {unlike:.1} dB");
}

#[test]
fn silence_stays_silent_and_noise_of_the_void_is_refused() {
    let cipher = narrow(BnMode::Running);
    let (out, _) = streamed(&cipher, &vec![0.0; 30_000], &[1_920]);
    assert!(out.iter().all(|sample| *sample == 0.0));
    assert!(matches!(cipher.stream(PAYLOAD).push(&[0.0, f32::NAN]), Err(SilentCipherError::NotFinite)));
}
