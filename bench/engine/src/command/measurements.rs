//! Messages from a measuring process: one JSON object, in the same form for csm-fleet and for its
//! peers.

use serde::{Deserialize, Serialize};

/// Timed frames of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepMeasurement {
    /// Name of the implementation.
    pub(crate) implementation: String,
    /// Number format of the weights.
    pub(crate) weights: String,
    /// Utterances at once.
    pub(crate) rows: usize,
    /// Measured frames of each utterance.
    pub(crate) frames: usize,
    /// Prompt positions before the first frame.
    pub(crate) prompt_positions: usize,
    /// Mean time of one frame of all rows, the model alone, in milliseconds.
    pub(crate) mean_ms: f64,
    /// Median of the same times.
    pub(crate) median_ms: f64,
    /// Times of the stages of a frame.
    #[serde(default)]
    pub(crate) stages: Stages,
    /// Bytes of weights that one frame reads.
    #[serde(default)]
    pub(crate) bytes_per_step: Option<u64>,
    /// Resident bytes by purpose.
    #[serde(default)]
    pub(crate) memory: Vec<(String, u64)>,
    /// Peak resident size of the process.
    pub(crate) peak_rss_bytes: u64,
    /// Remark for the table.
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// Milliseconds of one frame of all rows, by stage. An absent stage was not measured apart, or does
/// not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stages {
    pub(crate) backbone: Option<f64>,
    pub(crate) depth: Option<f64>,
    pub(crate) sampling: Option<f64>,
    pub(crate) codec: Option<f64>,
    pub(crate) watermark: Option<f64>,
}

/// Timed frames of a codec's decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CodecMeasurement {
    pub(crate) implementation: String,
    pub(crate) rows: usize,
    pub(crate) frames: usize,
    /// Frames that one call decodes.
    pub(crate) frames_per_call: usize,
    pub(crate) ms_per_frame_and_row: f64,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// Timings of the engine with its threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EngineMeasurement {
    pub(crate) weights: String,
    pub(crate) slots: usize,
    /// Time from admission to the first sound of an utterance alone.
    pub(crate) first_sound_ms: f64,
    /// Frames that the model had made by the first sound.
    pub(crate) first_sound_frames: u64,
    /// Time of one step of one row alone.
    pub(crate) step_alone_ms: f64,
    /// Longest time between two frames of that row.
    pub(crate) gap_alone_ms: f64,
    /// Positions of the prompt that was admitted beside a running row.
    pub(crate) admitted_positions: u64,
    /// Prefill blocks of that prompt.
    pub(crate) pieces: u64,
    /// Longest prefill block, in milliseconds.
    pub(crate) longest_piece_ms: f64,
    /// Longest time between two frames of the running row meanwhile.
    pub(crate) gap_admitting_ms: f64,
    /// Frames per second of all slots together, decoded to audio.
    pub(crate) frames_per_second: f64,
    /// Time of one step of all slots.
    pub(crate) step_together_ms: f64,
    /// Time of the codec per frame and row, beside the steps.
    pub(crate) codec_ms: f64,
    /// Peak resident size of the process, with every slot filled to the end of its window.
    pub(crate) peak_rss_bytes: u64,
}

impl CodecMeasurement {
    /// Returns the values that must be equal before two times are compared.
    pub(crate) fn batch(&self) -> (usize, usize) {
        (self.rows, self.frames_per_call)
    }
}

impl StepMeasurement {
    /// Returns frames per second over all rows, the model alone.
    pub(crate) fn frames_per_second(&self) -> f64 {
        self.rows as f64 * 1e3 / self.mean_ms
    }

    /// Returns milliseconds of one frame of all rows: model, codec and mark, one after another.
    pub(crate) fn whole_ms(&self) -> f64 {
        self.mean_ms + self.stages.codec.unwrap_or(0.0) + self.stages.watermark.unwrap_or(0.0)
    }

    /// Returns the share of a step that reading the weights takes at `bandwidth` bytes per second.
    pub(crate) fn share_of_floor(&self, bandwidth: f64) -> Option<f64> {
        Some(self.bytes_per_step? as f64 / bandwidth * 1e3 / self.mean_ms)
    }
}
