//! Tests of the arithmetic of windows, parts and chances.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::scan::{BlockRange, Scan, regions, windows};
use super::{DETECTED_ABOVE, INCONCLUSIVE_ABOVE, p_value};
use crate::watermark::Region;

fn window(first: usize, blocks: usize) -> BlockRange {
    BlockRange { first, blocks }
}

#[test]
fn windows_are_the_whole_clip_and_overlapping_runs_up_to_its_end() {
    assert_eq!(windows(1), [window(0, 1)]);
    assert_eq!(windows(2), [window(0, 2)]);
    assert_eq!(windows(3), [window(0, 3), window(0, 2), window(1, 2)]);
    let of_seven = windows(7);
    assert_eq!(of_seven[0], window(0, 7));
    assert_eq!(of_seven[1..7], [0, 1, 2, 3, 4, 5].map(|first| window(first, 2)));
    assert_eq!(of_seven[7..], [0, 2, 3].map(|first| window(first, 4)));
    for blocks in 1..=469 {
        let all = windows(blocks);
        assert!(all.len() <= 2 * blocks, "{blocks} blocks, {} windows", all.len());
        assert!(all.iter().all(|window| window.first + window.blocks <= blocks));
    }
}

#[test]
fn parts_are_the_finest_windows_that_speak_and_touching_ones_are_one() {
    let block = 30_720; // samples
    let of = |windows: &[BlockRange]| {
        let parts = regions(windows, 20 * block);
        parts.iter().map(|part| (part.start_ms / 1_280, part.end_ms.div_ceil(1_280))).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), []);
    assert_eq!(of(&[window(0, 20)]), [(0, 20)]);
    // The window of two blocks replaces the longer ones around it; the other window of four blocks
    // stands alone.
    assert_eq!(of(&[window(0, 20), window(4, 4), window(5, 2), window(12, 4)]), [(5, 7), (12, 16)]);
    assert_eq!(of(&[window(3, 2), window(1, 2), window(2, 2), window(5, 2), window(9, 2)]), [(1, 7), (9, 11)]);
    // The last block is cut short.
    assert_eq!(regions(&[window(1, 2)], 2 * block + 2_400), [Region { start_ms: 1_280, end_ms: 2_660 }]);
}

#[test]
fn a_higher_score_is_a_smaller_chance_and_the_thresholds_are_what_they_claim() {
    let chances: Vec<f64> = (0..300).map(|tenths| p_value(tenths as f32 / 10.0)).collect();
    assert!(chances.is_sorted_by(|higher, lower| higher >= lower));
    assert!(chances[35..].is_sorted_by(|higher, lower| higher > lower), "strictly, once it is below one");
    assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
    assert!((1.9e-6..2e-6).contains(&p_value(DETECTED_ABOVE)));
    assert!((4e-4..5e-4).contains(&p_value(INCONCLUSIVE_ABOVE)));
}

/// The chances of all tests, each at its own correlation for the same score, add up to the chance
/// of that score.
#[test]
fn the_looks_share_one_chance() {
    for (blocks, keys) in [(1, 1), (2, 3), (7, 1), (40, 8)] {
        let windows = windows(blocks);
        let correlation = 9.0;
        let scan = Scan { scores: vec![vec![correlation; keys]; windows.len()], windows, filled_seconds: 10.0 };
        let beside = keys;
        let single = |score: f32| (-0.5 * f64::from(score).powi(2)).exp();
        // exp(-c²/2) = exp(-z²/2) / looks, so the share of one test is exp(-c²/2) / exp(-z²/2) = 1
        // / looks.
        let shares: f64 =
            (0..keys).flat_map(|key| scan.scores_of(key, beside)).map(|z| single(correlation) / single(z)).sum();
        assert!((shares - 1.0).abs() < 1e-3, "{blocks} blocks, {keys} keys: {shares}");
    }
}
