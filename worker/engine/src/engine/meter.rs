//! What the engine counts: for `/metrics`, and as a snapshot for whoever measures one engine.

use std::time::Duration;

use csm_shared::process::telemetry::{
    FRAME_GAP_SECONDS, FRAME_STEP_SECONDS, PREFILL_PIECE_SECONDS, PREFIX_CACHE_BYTES, PREFIX_CACHE_TOTAL,
};
use tokio::sync::watch;

use super::progress_counter::ProgressCounter;
use crate::model::StepTimes;

/// What an engine has done since it was ready, or since [`super::Engine::take_stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Batched steps.
    pub steps: u64,
    /// Frames of all rows; the end frame counts, since it costs as much.
    pub frames: u64,
    /// Time in all steps together, without the codec.
    pub stepping: Duration,
    /// The part of it spent in the backbone, as far as the parts are known ([`crate::model::Model::step_times`]).
    pub backbone: Duration,
    /// The part of it spent in the depth decoder, likewise.
    pub depth: Duration,
    /// The part of it spent drawing codes, likewise.
    pub sampling: Duration,
    /// Pieces of prompts, and of what was spoken before.
    pub prefill_blocks: u64,
    /// Positions in them.
    pub positions: u64,
    /// Time in all of them together.
    pub prefilling: Duration,
    /// The longest of them.
    pub longest_prefill_block: Duration,
    /// The longest time between two frames of one utterance whose reader was not behind.
    pub longest_gap: Duration,
    /// Calls of the codec's decoder; they overlap the steps.
    pub pushes: u64,
    /// Frames in them.
    pub decoded: u64,
    /// Time in all of them together.
    pub decoding: Duration,
    /// Contexts of which all positions were copied from the prefix cache.
    pub prefix_hits: u64,
    /// Contexts of which some whole segments were.
    pub prefix_parts: u64,
    /// Contexts of which nothing was.
    pub prefix_misses: u64,
    /// Bytes in the prefix cache.
    pub prefix_bytes: u64,
}

/// How much of a context the prefix cache had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixLookup {
    Whole,
    Part,
    Nothing,
}

/// Counts for `/metrics` and the snapshot together.
pub(super) struct Meter {
    stats: watch::Sender<EngineStats>,
    progress: ProgressCounter,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { stats: watch::Sender::new(EngineStats::default()), progress: ProgressCounter::default() }
    }

    /// The counts so far; they begin anew.
    pub(super) fn take(&self) -> EngineStats {
        let mut taken = EngineStats::default();
        self.stats.send_modify(|stats| {
            taken = *stats;
            // What is in the cache stays there.
            *stats = EngineStats { prefix_bytes: taken.prefix_bytes, ..EngineStats::default() };
        });
        taken
    }

    /// Whether the engine gets on: a sign for each step, piece, call of the codec, and recording.
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
