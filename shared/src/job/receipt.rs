//! What a finished job says about its audio.

use serde::{Deserialize, Serialize};

/// Why the speech ended where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model said that it was done.
    Eos,
    /// The frame budget was used up.
    Length,
}

/// The account of a committed result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Seed of the draws; with the same model it gives the same codes again.
    pub seed: u64,
    /// Model as the worker was told to load it.
    pub model: String,
    /// True for checkpoints of random weights: the audio is noise, not speech.
    pub noise_only: bool,
    /// SHA-256 over the weight files, hex.
    pub weights_sha256: String,
    /// Worker process that committed the result.
    pub worker: String,
    /// Claims it took, this one included.
    pub attempt: u64,
    /// Frames of 80 ms.
    pub frames: u32,
    /// Samples at 24 kHz.
    pub samples: u64,
    /// Duration of the audio in milliseconds.
    pub duration_ms: u64,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// From acceptance to the claim that was committed, in milliseconds.
    pub queue_ms: u64,
    /// From the claim to the end of the last frame, in milliseconds.
    pub compute_ms: u64,
    /// From the claim to the first frame, in milliseconds; absent when there was none.
    pub first_audio_ms: Option<u64>,
    /// Compute time divided by audio time; absent when there is no audio.
    pub rtf: Option<f64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// The watermark's scheme and key id.
    pub watermark: String,
    /// The detector's score on the very samples that were committed.
    pub watermark_z: f32,
    /// Key in the store.
    pub location: String,
}
