#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_shared::job::{Seed, Temperature, TopK};
use proptest::prelude::*;

use super::*;

fn sampling(temperature: f32, topk: u32) -> Sampling {
    Sampling { temperature: Temperature::new(temperature).unwrap(), topk: TopK::new(topk).unwrap(), seed: Seed::new(1) }
}

fn at(frame_index: u32) -> DrawKey {
    DrawKey { seed: 0x0123_4567_89ab_cdef, frame_index, codebook: 3 }
}

#[test]
fn philox_answers_the_published_vectors() {
    // Random123's known answers for philox4x32, 10 rounds.
    let pi = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
    for ((counter, key), answer) in [
        (([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        (([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ] {
        assert_eq!(philox(counter, key), answer);
    }
}

#[test]
fn greedy_takes_the_first_of_the_largest() {
    assert_eq!(sample(&[0.0, 3.0, 3.0, -1.0], &sampling(0.0, 1), at(0)), Some(1));
}

#[test]
fn broken_logits_are_noticed() {
    for temperature in [0.0, 0.9] {
        assert_eq!(sample(&[0.0, f32::NAN, 1.0], &sampling(temperature, 50), at(0)), None);
        assert_eq!(sample(&[f32::NEG_INFINITY; 8], &sampling(temperature, 50), at(0)), None);
        assert_eq!(sample(&[], &sampling(temperature, 50), at(0)), None);
    }
}

#[test]
fn top_k_keeps_ties_of_the_last_place() {
    let logits = [1.0, 2.0, 1.0, 0.999, 1.0];
    let drawn: std::collections::BTreeSet<_> =
        (0..400).filter_map(|frame| sample(&logits, &sampling(2.0, 2), at(frame))).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 4]);
}

#[test]
fn draws_follow_the_softmax() {
    // Chi-square over 8 codes, 7 degrees of freedom: one in a thousand exceeds 24.3. The draws
    // never change.
    const DRAWS: u32 = 20_000;
    let logits: Vec<f32> = (0..8).map(|code| code as f32 * 0.35 - 1.0).collect();
    let temperature = 0.7;
    let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) / f64::from(temperature)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut counts = [0u32; 8];
    for frame in 0..DRAWS {
        counts[sample(&logits, &sampling(temperature, 8), at(frame)).unwrap() as usize] += 1;
    }
    let chi_square: f64 = counts
        .iter()
        .zip(&weights)
        .map(|(&count, weight)| {
            let expected = f64::from(DRAWS) * weight / total;
            (f64::from(count) - expected).powi(2) / expected
        })
        .sum();
    assert!(chi_square < 24.3, "chi-square {chi_square}, counts {counts:?}");
}

#[test]
fn every_coordinate_of_a_draw_matters() {
    let logits = [0.0; 2048];
    let draw = |draw| sample(&logits, &sampling(1.0, 2048), draw);
    let base = at(5);
    assert_ne!(draw(base), draw(DrawKey { seed: base.seed + 1, ..base }));
    assert_ne!(draw(base), draw(DrawKey { seed: base.seed ^ (1 << 40), ..base }));
    assert_ne!(draw(base), draw(DrawKey { frame_index: 6, ..base }));
    assert_ne!(draw(base), draw(DrawKey { codebook: 4, ..base }));
}

proptest! {
    #[test]
    fn a_draw_depends_on_its_place_alone(
        logits in proptest::collection::vec(-20f32..20.0, 1..300),
        order in Just((0..40u32).collect::<Vec<_>>()).prop_shuffle(),
        seed: u64,
    ) {
        let sampling = sampling(0.9, 50);
        let draw = |frame_index| sample(&logits, &sampling, DrawKey { seed, frame_index, codebook: 0 });
        let forward: Vec<_> = (0..40).map(draw).collect();
        for frame in order {
            prop_assert_eq!(draw(frame), forward[frame as usize]);
        }
    }

    #[test]
    fn what_is_drawn_is_among_the_k_largest(
        logits in proptest::collection::vec(-20f32..20.0, 1..300),
        temperature in 0.05f32..2.0,
        topk in 1u32..60,
        frame: u32,
    ) {
        let code = sample(&logits, &sampling(temperature, topk), at(frame)).unwrap();
        let larger = logits.iter().filter(|&&logit| logit > logits[code as usize]).count();
        prop_assert!(larger < topk as usize);
    }
}
