//! Counters of the engine, for `/metrics` and as a snapshot for measurements of one engine.

use std::time::Duration;

use csm_shared::process::telemetry::{
    FRAME_GAP_SECONDS, FRAME_STEP_SECONDS, PREFILL_PIECE_SECONDS, PREFIX_CACHE_BYTES, PREFIX_CACHE_TOTAL,
};
use tokio::sync::watch;

use super::progress_counter::ProgressCounter;
use crate::model::StepTimes;

/// Counts of an engine since it became ready, or since the last [`super::Engine::take_stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Number of batched steps.
    pub steps: u64,
    /// Frames of all rows. The end frame counts, because it costs as much.
    pub frames: u64,
    /// Time in all steps, without the codec.
    pub stepping: Duration,
    /// Part of the step time spent in the backbone, if the parts are known
    /// ([`crate::model::Model::step_times`]).
    pub backbone: Duration,
    /// Part of the step time spent in the depth decoder, if known.
    pub depth: Duration,
    /// Part of the step time spent drawing codes, if known.
    pub sampling: Duration,
    /// Number of prefill blocks, of prompts and of resumed frames.
    pub prefill_blocks: u64,
    /// Positions in all prefill blocks.
    pub positions: u64,
    /// Time in all prefill blocks.
    pub prefilling: Duration,
    /// Time of the longest prefill block.
    pub longest_prefill_block: Duration,
    /// Longest time between two frames of an utterance whose reader was not behind.
    pub longest_gap: Duration,
    /// Calls of the codec's decoder, which overlap the steps.
    pub pushes: u64,
    /// Frames in all calls of the codec's decoder.
    pub decoded: u64,
    /// Time in all calls of the codec's decoder.
    pub decoding: Duration,
    /// Contexts that were found whole in the prefix cache.
    pub prefix_hits: u64,
    /// Contexts that were found in part: some whole segments.
    pub prefix_parts: u64,
    /// Contexts that were not found at all.
    pub prefix_misses: u64,
    /// Bytes in the prefix cache.
    pub prefix_bytes: u64,
}

/// Result of a lookup of a context in the prefix cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixLookup {
    Whole,
    Part,
    Nothing,
}

/// Counters for `/metrics` and the snapshot together.
pub(super) struct Meter {
    stats: watch::Sender<EngineStats>,
    progress: ProgressCounter,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { stats: watch::Sender::new(EngineStats::default()), progress: ProgressCounter::default() }
    }

    /// Returns the counts so far and resets them.
    pub(super) fn take(&self) -> EngineStats {
        let mut taken = EngineStats::default();
        self.stats.send_modify(|stats| {
            taken = *stats;
            // The cache keeps its content, so its size stays.
            *stats = EngineStats { prefix_bytes: taken.prefix_bytes, ..EngineStats::default() };
        });
        taken
    }

    /// Returns the progress counter, which advances with each step, prefill block, call of the
    /// codec, and encoded recording.
    pub(super) fn progress(&self) -> &ProgressCounter {
        &self.progress
    }

    pub(super) fn step(&self, rows: usize, took: Duration, times: Option<StepTimes>) {
        if let Some(StepTimes { backbone, depth, sampling }) = times {
            for (stage, took) in [("backbone", backbone), ("depth", depth), ("sampling", sampling)] {
                metrics::histogram!(FRAME_STEP_SECONDS, "stage" => stage).record(took);
            }
        }
        let times = times.unwrap_or_default();
        self.progress.advance();
        self.stats.send_modify(|stats| {
            stats.steps += 1;
            stats.frames += rows as u64;
            stats.stepping += took;
            stats.backbone += times.backbone;
            stats.depth += times.depth;
            stats.sampling += times.sampling;
        });
    }

    pub(super) fn gap(&self, gap: Duration) {
        metrics::histogram!(FRAME_GAP_SECONDS).record(gap);
        self.stats.send_modify(|stats| stats.longest_gap = stats.longest_gap.max(gap));
    }

    pub(super) fn prefill_block(&self, positions: usize, took: Duration) {
        metrics::histogram!(PREFILL_PIECE_SECONDS).record(took);
        self.progress.advance();
        self.stats.send_modify(|stats| {
            stats.prefill_blocks += 1;
            stats.positions += positions as u64;
            stats.prefilling += took;
            stats.longest_prefill_block = stats.longest_prefill_block.max(took);
        });
    }

    pub(super) fn push(&self, frames: usize, took: Duration) {
        metrics::histogram!(FRAME_STEP_SECONDS, "stage" => "codec").record(took);
        self.progress.advance();
        self.stats.send_modify(|stats| {
            stats.pushes += 1;
            stats.decoded += frames as u64;
            stats.decoding += took;
        });
    }

    pub(super) fn prefix(&self, found: PrefixLookup) {
        let result = match found {
            PrefixLookup::Whole => "hit",
            PrefixLookup::Part => "part",
            PrefixLookup::Nothing => "miss",
        };
        metrics::counter!(PREFIX_CACHE_TOTAL, "result" => result).increment(1);
        self.stats.send_modify(|stats| match found {
            PrefixLookup::Whole => stats.prefix_hits += 1,
            PrefixLookup::Part => stats.prefix_parts += 1,
            PrefixLookup::Nothing => stats.prefix_misses += 1,
        });
    }

    pub(super) fn prefix_bytes(&self, bytes: u64) {
        metrics::gauge!(PREFIX_CACHE_BYTES).set(bytes as f64);
        self.stats.send_modify(|stats| stats.prefix_bytes = bytes);
    }
}
