//! Joins of synthetic signals, whose silence is known to the sample.

use std::f32::consts::TAU;

use proptest::prelude::*;

use super::*;

/// Returns a steady tone far above the threshold, in whole blocks, so that each block is loud or
/// silent as a whole.
fn tone(blocks: usize) -> Vec<f32> {
    (0..blocks * BLOCK_SAMPLES).map(|n| 0.3 * (TAU * 440.0 * n as f32 / 24_000.0).cos()).collect()
}

/// Returns the noise of a room, far below the threshold but not zero.
fn room(blocks: usize) -> Vec<f32> {
    (0..blocks * BLOCK_SAMPLES).map(|n| if n % 2 == 0 { 0.000_5 } else { -0.000_5 }).collect()
}

fn speech(before: usize, sound: usize, behind: usize) -> Vec<f32> {
    [room(before), tone(sound), room(behind)].concat()
}

type Joined = (Vec<f32>, Vec<Option<Range<u64>>>);

/// Joins sentences that are pushed in parts of `part` samples.
fn join(pieces: &[Vec<f32>], pause: Pause, part: usize) -> Joined {
    let (mut joiner, mut out) = (Joiner::default(), Vec::new());
    for piece in pieces {
        joiner.begin(pause);
        for samples in piece.chunks(part) {
            out.extend(joiner.push(samples));
        }
        out.extend(joiner.end());
    }
    let (rest, places) = joiner.finish(None);
    out.extend(rest);
    (out, places)
}

/// Returns the lengths of the runs of silent blocks, without those at the ends.
fn gaps(audio: &[f32]) -> Vec<usize> {
    let loud: Vec<_> =
        audio.chunks(BLOCK_SAMPLES).map(|block| block.iter().any(|sample| sample.abs() > 0.02)).collect();
    let first = loud.iter().position(|&loud| loud).unwrap_or(0);
    let last = loud.iter().rposition(|&loud| loud).unwrap_or(0);
    let runs = loud[first..=last].split(|&loud| loud).map(|run| run.len() * BLOCK_SAMPLES);
    runs.filter(|&run| run > 0).collect()
}

#[test]
fn a_piece_alone_comes_out_as_it_went_in() {
    for piece in [speech(90, 20, 200), tone(3), room(100), tone(1)[..17].to_vec(), Vec::new()] {
        for part in [1, 239, 1_920, 100_000] {
            let (out, places) = join(std::slice::from_ref(&piece), Pause::Sentence, part);
            assert_eq!(out, piece);
            let place = (!piece.is_empty()).then_some(0..piece.len() as u64);
            assert_eq!(places, [place]);
        }
    }
}

#[test]
fn seconds_of_silence_become_one_pause() {
    let pieces = [speech(5, 30, 200), speech(300, 40, 150), speech(0, 10, 7)];
    for (pause, samples) in [(Pause::Clause, 2_880), (Pause::Sentence, 5_760), (Pause::Paragraph, 8_640)] {
        let (out, _) = join(&pieces, pause, 1_920);
        assert_eq!(gaps(&out), [samples, samples]);
        assert!(samples <= 9_600, "400 ms");
    }
    for ms in [250, 3_000] {
        let (out, _) = join(&pieces, Pause::Silence { ms }, 1_920);
        assert_eq!(gaps(&out), [ms as usize * 24; 2], "the pause that was asked for");
    }
    let (out, places) = join(&pieces, Pause::Sentence, 1_920);
    // The start of the first sentence and the end of the last do not change. A join keeps 180 ms
    // after a sentence and 60 ms before one.
    let starts = [0, (35 + 18) * 240, (35 + 18 + 46 + 24) * 240];
    let ends = [(35 + 18) * 240, (35 + 18 + 46 + 18) * 240 + 6 * 240, (35 + 18 + 46 + 24 + 17) * 240];
    let expected: Vec<_> = starts.into_iter().zip(ends).map(|(start, end)| Some(start..end)).collect();
    assert_eq!(places, expected);
    assert_eq!(out.len() as u64, ends[2]);
    let second = &out[starts[1] as usize..][..46 * 240];
    assert_eq!(
        second[BLOCK_SAMPLES..],
        speech(6, 40, 0)[BLOCK_SAMPLES..],
        "beyond its faded edge a piece is as it was"
    );
    assert!(out.iter().filter(|&&sample| sample == 0.0).count() == 0, "the room's own silence was enough");
}

#[test]
fn speech_without_any_silence_gets_it() {
    let (out, places) = join(&[tone(30), tone(30)], Pause::Sentence, 480);
    assert_eq!(places, [Some(0..7_200), Some(12_960..20_160)]);
    assert!(out[7_200..12_960].iter().all(|&sample| sample == 0.0));
    assert_eq!(out[..7_200 - BLOCK_SAMPLES], tone(30)[..7_200 - BLOCK_SAMPLES]);
    assert_eq!(out[12_960 + BLOCK_SAMPLES..], tone(30)[BLOCK_SAMPLES..]);
}

#[test]
fn no_edge_clicks() {
    // The worst case: full level up to the last sample, and from the first.
    let level = vec![0.9; 20 * BLOCK_SAMPLES];
    let (out, _) = join(&[level.clone(), level], Pause::Clause, 1_920);
    let step = out.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 0.9 / 200.0, "{step}");
}

#[test]
fn pieces_without_sound_leave_no_trace() {
    let (sound, silence) = (speech(0, 20, 10), room(300));
    let (without, _) = join(&[sound.clone(), sound.clone()], Pause::Sentence, 1_920);
    let (with, places) =
        join(&[Vec::new(), sound.clone(), Vec::new(), silence.clone(), sound.clone(), silence], Pause::Sentence, 1_920);
    assert_eq!(with, without);
    assert_eq!(places.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false, true, false]);
}

#[test]
fn an_unheard_piece_does_not_shorten_a_pause() {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    for (piece, pause) in [(tone(9), Pause::Clause), (room(5), Pause::Paragraph), (tone(9), Pause::Clause)] {
        joiner.begin(pause);
        out.extend(joiner.push(&piece));
    }
    assert_eq!(gaps(&out), [8_640]);
}

#[test]
fn only_silence_and_ten_milliseconds_are_held_back() {
    let mut joiner = Joiner::default();
    joiner.begin(Pause::Sentence);
    let mut given = 0;
    for n in 1..=10 {
        given += joiner.push(&tone(8)).len();
        assert_eq!(given, n * 8 * BLOCK_SAMPLES - BLOCK_SAMPLES);
    }
    assert_eq!(joiner.push(&room(50)).len(), 0, "that may be its end");
    assert_eq!(joiner.push(&tone(1)).len(), 51 * BLOCK_SAMPLES, "it was not");
}

proptest! {
    #[test]
    fn every_join_is_one_pause_however_the_samples_come(
        pieces in proptest::collection::vec((0_usize..80, 1_usize..20, 0_usize..80), 1..6),
        part in 1_usize..5_000,
    ) {
        let pieces: Vec<_> = pieces.into_iter().map(|(before, sound, behind)| speech(before, sound, behind)).collect();
        let (out, places) = join(&pieces, Pause::Sentence, part);
        prop_assert_eq!(gaps(&out), vec![5_760; pieces.len() - 1]);
        prop_assert_eq!(&(out.clone(), places.clone()), &join(&pieces, Pause::Sentence, 1_920));
        let places: Vec<_> = places.into_iter().flatten().collect();
        prop_assert_eq!(places.len(), pieces.len());
        prop_assert_eq!(places[pieces.len() - 1].end, out.len() as u64);
        for pair in places.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start && pair[1].start - pair[0].end <= 5_760);
        }
    }
}

#[test]
fn silence_that_was_asked_for_stands_around_the_recording() {
    let (mut joiner, piece) = (Joiner::default(), speech(2, 20, 5));
    joiner.begin(Pause::Clause);
    joiner.lead(1_000);
    let first = joiner.push(&piece[..2 * BLOCK_SAMPLES]);
    assert!(first.is_empty(), "nothing leaves before the first sound, so the take can be replaced");
    let mut out = joiner.push(&piece[2 * BLOCK_SAMPLES..]);
    out.extend(joiner.end());
    let (rest, places) = joiner.finish(Some(Pause::Silence { ms: 500 }));
    out.extend(rest);
    assert_eq!(out.len(), 24_000 + piece.len() + 12_000);
    assert_eq!(out[24_000..24_000 + piece.len()], piece);
    assert!(out[..24_000].iter().chain(&out[24_000 + piece.len()..]).all(|&sample| sample == 0.0));
    assert_eq!(places, [Some(24_000..24_000 + piece.len() as u64)]);
}
