//! What one measuring process tells another: one JSON object, ours and the peers' alike.

use serde::{Deserialize, Serialize};

/// Frames of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepMeasurement {
    /// Who made them.
    pub(crate) implementation: String,
    /// What it holds its weights in.
    pub(crate) weights: String,
    /// Utterances at once.
    pub(crate) rows: usize,
    /// Measured frames of each.
    pub(crate) frames: usize,
    /// Positions before the first frame.
    pub(crate) prompt_positions: usize,
    /// One frame of all rows, the model alone, in milliseconds.
    pub(crate) mean_ms: f64,
    /// The same, the median.
    pub(crate) median_ms: f64,
    /// Where the time went.
    #[serde(default)]
    pub(crate) stages: Stages,
    /// Bytes of weights that one frame reads.
    #[serde(default)]
    pub(crate) bytes_per_step: Option<u64>,
    /// What is resident.
    #[serde(default)]
    pub(crate) memory: Vec<(String, u64)>,
    /// The process' greatest resident size.
    pub(crate) peak_rss_bytes: u64,
    /// What else there is to know.
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// Milliseconds of one frame of all rows; what is absent was not told apart, or is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stages {
    pub(crate) backbone: Option<f64>,
    pub(crate) depth: Option<f64>,
    pub(crate) sampling: Option<f64>,
    pub(crate) codec: Option<f64>,
    pub(crate) watermark: Option<f64>,
}

/// Frames of a codec's decoder.
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

/// The engine with its threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EngineMeasurement {
    pub(crate) weights: String,
    pub(crate) slots: usize,
    /// From admission to the first sound of an utterance alone.
    pub(crate) first_sound_ms: f64,
    /// Frames that the model had made by then.
    pub(crate) first_sound_frames: u64,
    /// One step of one row alone.
    pub(crate) step_alone_ms: f64,
    /// The longest time between two of its frames.
    pub(crate) gap_alone_ms: f64,
    /// Positions of the prompt that was admitted beside it.
    pub(crate) admitted_positions: u64,
    /// Pieces that it was read in.
    pub(crate) pieces: u64,
    /// The longest of them.
    pub(crate) longest_piece_ms: f64,
    /// The longest time between two frames of the row beside it.
    pub(crate) gap_admitting_ms: f64,
    /// Frames per second of all slots together, sound included.
    pub(crate) frames_per_second: f64,
    /// One step of all slots.
    pub(crate) step_together_ms: f64,
    /// The codec's time per frame and row meanwhile, beside the steps.
    pub(crate) codec_ms: f64,
    /// The process' greatest resident size, every slot filled to the end of its window.
    pub(crate) peak_rss_bytes: u64,
}

impl CodecMeasurement {
    /// What must be equal for times to be set side by side.
    pub(crate) fn batch(&self) -> (usize, usize) {
        (self.rows, self.frames_per_call)
    }
}

impl StepMeasurement {
    /// Frames per second over all rows, the model alone.
    pub(crate) fn frames_per_second(&self) -> f64 {
        self.rows as f64 * 1e3 / self.mean_ms
    }

    /// Milliseconds of one frame of all rows with everything that was measured, one after another.
    pub(crate) fn whole_ms(&self) -> f64 {
        self.mean_ms + self.stages.codec.unwrap_or(0.0) + self.stages.watermark.unwrap_or(0.0)
    }

    /// Share of its time that reading the weights takes at `bandwidth` bytes per second.
    pub(crate) fn share_of_floor(&self, bandwidth: f64) -> Option<f64> {
        Some(self.bytes_per_step? as f64 / bandwidth * 1e3 / self.mean_ms)
    }
}
