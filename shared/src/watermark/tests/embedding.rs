//! Tests of the embedder: its effect on the sound, and its independence of the chunking.

use proptest::prelude::*;

use super::signals::{hiss, organ, samples_of, voice};
use super::{db, mark, rms, watermark};
use crate::watermark::embed::{FRAME, HOP};
use crate::watermark::{BuiltinMarked, Verdict};

fn in_one_call(clip: &[f32]) -> BuiltinMarked {
    let mut stream = watermark().stream();
    let mut marked = stream.push(clip);
    marked.append(stream.finish());
    marked
}

/// Returns the signal that the mark added, in floats.
fn added(clip: &[f32], marked: &BuiltinMarked) -> Vec<f32> {
    marked.to_f32().iter().zip(clip).map(|(out, input)| out - input).collect()
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_samples(
        seed in 0u64..1_000,
        length in 0usize..9_000,
        pieces in prop::collection::vec(0usize..2_500, 0..20),
    ) {
        let clip = &hiss(seed, 0.5, 0.2)[..length];
        let mut stream = watermark().stream();
        let (mut marked, mut rest) = (BuiltinMarked::default(), clip);
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            marked.append(stream.push(now));
            rest = later;
        }
        marked.append(stream.push(rest));
        marked.append(stream.finish());
        prop_assert_eq!(marked, in_one_call(clip));
    }
}

#[test]
fn as_many_samples_come_out_as_went_in() {
    for length in [0, 1, 479, 480, 481, 959, 960, 961, 1_439, 1_440, 1_441, 1_920, 24_001] {
        let clip = vec![0.1; length];
        assert_eq!(in_one_call(&clip).samples().len(), length);
        assert_eq!(mark(&clip).samples().len(), length);
    }
}

#[test]
fn no_sample_is_held_back_longer_than_a_frame() {
    let mut stream = watermark().stream();
    let mut given = 0;
    for taken in 1..=4 * FRAME {
        given += stream.push(&[0.1]).samples().len();
        assert!(taken - given < FRAME, "{given} of {taken}");
    }
}

#[test]
fn two_runs_agree_to_the_bit() {
    let clip = voice(1, 2.0);
    assert_eq!(in_one_call(&clip).samples(), in_one_call(&clip).samples());
}

#[test]
fn silence_stays_silence() {
    assert!(mark(&[0.0; 5_000]).samples().iter().all(|&sample| sample == 0));
}

#[test]
fn the_mark_is_as_strong_as_it_should_be_and_keeps_the_loudness() {
    for (name, clip) in [("voice", voice(2, 5.0)), ("hiss", hiss(2, 5.0, 0.1))] {
        let marked = mark(&clip);
        let below = db(rms(&clip) / rms(&added(&clip, &marked)));
        assert!((17.0..26.0).contains(&below), "{name}: the mark lies {below} dB below");
        let louder = db(rms(&marked.to_f32()) / rms(&clip));
        assert!(louder.abs() < 0.1, "{name}: louder by {louder} dB");
    }
}

#[test]
fn sound_outside_the_band_passes_unchanged() {
    for (hertz, partials) in [(150.0, 1), (7_000.0, 1)] {
        let clip = organ(1.0, hertz, partials);
        let marked = mark(&clip);
        // The fade-in at the start is broadband.
        let below = db(rms(&clip[FRAME..]) / rms(&added(&clip, &marked)[FRAME..samples_of(0.95)]));
        assert!(below > 50.0, "{hertz} Hz: the mark lies {below} dB below");
    }
}

#[test]
fn frames_and_pieces_meet_without_a_click() {
    let clip = hiss(3, 5.0, 0.1);
    let added = added(&clip, &mark(&clip));
    let step = |at: usize| added[at] - added[at - 1];
    let everywhere = rms(&(1..added.len()).map(step).collect::<Vec<_>>());
    for distance in [HOP, 1_920] {
        let at_edges = rms(&(distance..added.len()).step_by(distance).map(step).collect::<Vec<_>>());
        assert!(at_edges < 1.3 * everywhere, "every {distance}: {at_edges} against {everywhere}");
    }
}

#[test]
fn sound_over_full_scale_is_held_there() {
    let clip: Vec<f32> = organ(1.0, 300.0, 1).iter().map(|sample| 20.0 * sample).collect();
    for (sample, input) in mark(&clip).samples().iter().zip(&clip) {
        if input.abs() > 1.5 {
            assert_eq!(f32::from(*sample).signum(), input.signum());
        }
    }
}

#[test]
fn a_number_that_is_none_harms_nothing_but_itself() {
    let mut clip = hiss(4, 0.5, 0.1);
    clip[5_000] = 0.0;
    let clean = mark(&clip);
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        clip[5_000] = broken;
        assert_eq!(mark(&clip).samples(), clean.samples());
    }
}

#[test]
fn pieces_of_a_stream_are_its_audio() {
    let clip = hiss(5, 3.0, 0.05);
    let marked = mark(&clip);
    assert_eq!(watermark().detector().detect(&marked.to_f32()).verdict, Verdict::Detected);
}
