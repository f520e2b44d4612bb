//! What a finished job says about its audio.

use serde::{Deserialize, Serialize};

use super::AudioFormat;
use crate::watermark::Finding;

/// Why the speech ended where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model said that it was done.
    Eos,
    /// The frame budget was used up.
    Length,
    /// The model did not stop: it repeated itself, fell silent, or took far longer than its text can need.
    Runaway,
}

/// One piece of the text: a sentence as a rule, several very short ones, or a part of a very long one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentenceReceipt {
    /// The words as they were given to the model.
    pub text: String,
    /// Frames that the model made of them; 0 if it ended at once, or if the job's budget was used up before.
    pub frames: u32,
    /// Where they begin in the audio, in milliseconds.
    pub start_ms: u64,
    /// How long they last there: their frames, without the silence that was cut off where sentences were joined.
    pub duration_ms: u64,
    /// Positions of the model's window that the prompt took, context and words; 0 if nothing was asked of the model.
    pub prompt_positions: u32,
    /// Those of the context: the job's own, and earlier sentences.
    pub context_positions: u32,
    /// Frames that were allowed. With the prompt they share the window.
    pub max_frames: u32,
    /// Why the sentence ended.
    pub finish_reason: FinishReason,
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
    /// Frames of 80 ms that the model made. Of a long text some of their silence is cut off where sentences are joined.
    pub frames: u32,
    /// Those of them that an earlier attempt had made and this one took over.
    #[serde(default)]
    pub resumed_frames: u32,
    /// Samples at 24 kHz in the file.
    pub samples: u64,
    /// Duration of those samples in milliseconds.
    pub duration_ms: u64,
    /// Why it ended. Of several sentences: `length` if the job's budget cut them off, else the worst end of any.
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
    /// The container and coding of the file.
    #[serde(default)]
    pub format: AudioFormat,
    /// What the detectors found in the very file that was committed, one by scheme; empty where there is no audio.
    #[serde(default)]
    pub watermarks: Vec<Finding>,
    /// Key in the store.
    pub location: String,
    /// The whole text in the order of speech, one entry for each utterance. Bounded, as the length of a text is. Empty in
    /// receipts from before it was there.
    #[serde(default)]
    pub sentences: Vec<SentenceReceipt>,
}
