//! Scan of a clip for the marks of several keys, as a whole and in windows.
//!
//! The clip is folded block by block ([`BLOCK_HOPS`]), once for each trial grid. A window is a run
//! of blocks, and its sums are the sums of its blocks. Windows therefore cost little next to the
//! transforms, and only one grid's blocks are kept at a time.

use super::levels::{Analyser, Period, hops_of};
use crate::audio::SAMPLE_RATE;
use crate::watermark::Region;
use crate::watermark::embed::HOP;
use crate::watermark::watermark_key::{self, BINS, CHIP_HOPS, Chips, PERIOD, ROWS};

/// Samples between two trial grids. The greatest error is half of it: 30 of a frame's 960 samples.
const GRID_STEP: usize = 60;
/// Places at which the pattern may begin: trial grids times hops of the period.
pub(in crate::watermark) const HYPOTHESES: usize = HOP / GRID_STEP * PERIOD;
/// Hops of a block: four whole periods, 1.28 s.
const BLOCK_HOPS: usize = 4 * PERIOD;
/// Blocks of the shortest window: 2.56 s.
const WINDOW_BLOCKS: usize = 2;
/// Most blocks over which "loud" and "steady" are measured together: 10.24 s.
const STRETCH_BLOCKS: usize = 8;
/// Least hops that are worth folding.
const MIN_HOPS: usize = 2 * CHIP_HOPS;

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::watermark) struct BlockRange {
    pub(super) first: usize,
    pub(super) blocks: usize,
}

impl BlockRange {
    fn holds(self, other: Self) -> bool {
        self.first <= other.first && other.first + other.blocks <= self.first + self.blocks
    }

    /// Returns the window in a clip of `samples` samples, in milliseconds.
    fn region(self, samples: usize) -> Region {
        let ms = |block: usize| (block * BLOCK_HOPS * HOP).min(samples) as u64 * 1_000 / u64::from(SAMPLE_RATE);
        Region { start_ms: ms(self.first), end_ms: ms(self.first + self.blocks) }
    }
}

/// Lists the windows of a clip of `blocks` blocks, the whole clip first. The others are runs of 2,
/// 4, 8 and so on blocks, each half a run after the one before. The last run of each length ends
/// with the clip.
pub(super) fn windows(blocks: usize) -> Vec<BlockRange> {
    let mut all = vec![BlockRange { first: 0, blocks }];
    let mut length = WINDOW_BLOCKS;
    while length < blocks {
        let last = blocks - length;
        all.extend((0..last).step_by(length / 2).chain([last]).map(|first| BlockRange { first, blocks: length }));
        length *= 2;
    }
    all
}

/// Merges the windows that detect the mark into regions, in milliseconds. A window that contains a
/// shorter one of them adds nothing. Windows that touch become one region.
pub(super) fn regions(speaking: &[BlockRange], samples: usize) -> Vec<Region> {
    let mut sorted = speaking.to_vec();
    sorted.sort_by_key(|window| window.blocks);
    let mut finest: Vec<BlockRange> = Vec::new();
    for window in sorted {
        if !finest.iter().any(|&shorter| window.holds(shorter)) {
            finest.push(window);
        }
    }
    finest.sort_by_key(|window| window.first);
    let mut merged: Vec<Region> = Vec::new();
    for next in finest.into_iter().map(|window| window.region(samples)) {
        match merged.last_mut() {
            Some(last) if next.start_ms <= last.end_ms => last.end_ms = last.end_ms.max(next.end_ms),
            _ => merged.push(next),
        }
    }
    merged
}

/// Scores of a clip's windows with each key.
pub(in crate::watermark) struct Scan {
    /// The windows, the whole clip first.
    pub(in crate::watermark) windows: Vec<BlockRange>,
    /// Greatest correlation of each window with each key, (windows, keys); 0 if there is nothing to
    /// correlate.
    pub(in crate::watermark) scores: Vec<Vec<f32>>,
    /// Seconds that the usable levels would fill if they filled the whole band.
    pub(super) filled_seconds: f32,
}

impl Scan {
    pub(in crate::watermark) fn new(samples: &[f32], keys: &[Chips]) -> Self {
        let hops = hops_of(samples.len());
        let windows = windows(hops.div_ceil(BLOCK_HOPS));
        let mut scan = Self { scores: vec![vec![0.0; keys.len()]; windows.len()], windows, filled_seconds: 0.0 };
        if hops < MIN_HOPS {
            return scan;
        }
        let analyser = Analyser::new();
        for offset in (0..HOP).step_by(GRID_STEP) {
            let (blocks, filled_seconds) = fold_blocks(&analyser, samples.get(offset..).unwrap_or(&[]));
            if offset == 0 {
                scan.filled_seconds = filled_seconds;
            }
            for (window, scores) in scan.windows.iter().zip(&mut scan.scores) {
                let period = sum(blocks.iter().skip(window.first).take(window.blocks));
                for folded in (0..PERIOD).filter_map(|start| align(&period, start)) {
                    for (score, chips) in scores.iter_mut().zip(keys) {
                        *score = score.max(correlation(&folded, chips));
                    }
                }
            }
        }
        scan
    }
}

/// Returns the folded blocks of a clip, and the seconds that its usable levels fill. The clip is
/// divided into stretches of at most [`STRETCH_BLOCKS`] blocks, as equal as possible. Each stretch
/// has its own "loud" and "steady", so no part of a long clip is judged by another part far away.
fn fold_blocks(analyser: &Analyser, samples: &[f32]) -> (Vec<Period>, f32) {
    let blocks = hops_of(samples.len()).div_ceil(BLOCK_HOPS);
    let stretches = blocks.div_ceil(STRETCH_BLOCKS);
    let (mut folded, mut filled_seconds) = (Vec::with_capacity(blocks), 0.0);
    for stretch in 0..stretches {
        let edge = |stretch: usize| stretch * blocks / stretches * BLOCK_HOPS * HOP;
        // The last frame of a stretch reaches one hop into the next.
        let end = (edge(stretch + 1) + HOP).min(samples.len());
        let residuals = analyser.residuals(&samples[edge(stretch)..end]);
        filled_seconds += residuals.filled_seconds();
        folded.extend(residuals.fold(BLOCK_HOPS));
    }
    (folded, filled_seconds)
}

fn sum<'a>(blocks: impl Iterator<Item = &'a Period>) -> Period {
    let mut total = [[0.0; BINS]; PERIOD];
    for block in blocks {
        for (sum, value) in total.iter_mut().flatten().zip(block.iter().flatten()) {
            *sum += value;
        }
    }
    total
}

/// Sums by chip of the period and bin.
type Folded = [[f32; BINS]; ROWS];

/// Sums one period by chip, scaled to norm one, as if the pattern had begun `start` hops before the
/// period. Returns `None` if all sums are zero.
fn align(period: &Period, start: usize) -> Option<Folded> {
    let mut folded = [[0.0; BINS]; ROWS];
    for (hop, sums) in period.iter().enumerate() {
        let (row, sign) = watermark_key::chip_at(hop + start);
        for (total, sum) in folded[row].iter_mut().zip(sums) {
            *total += sign * sum;
        }
    }
    let norm = folded.iter().map(|row| dot(row, row)).sum::<f32>().sqrt();
    (norm > 0.0).then(|| folded.map(|row| row.map(|sum| sum / norm)))
}

fn correlation(folded: &Folded, chips: &Chips) -> f32 {
    (0..ROWS).map(|row| dot(&folded[row], chips.row(row))).sum()
}

fn dot(a: &[f32; BINS], b: &[f32; BINS]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
