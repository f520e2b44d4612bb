//! The receipt of a finished job: facts about its audio.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AudioFormat, VoiceName};
use crate::watermark::Finding;

/// Reason why the speech ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FinishReason {
    /// The model ended the speech itself.
    Eos,
    /// The frame budget ran out.
    Length,
    /// The model did not stop: it repeated itself, fell silent, or took far longer than the text
    /// can need.
    Runaway,
}

/// The account of one [`Sentence`](crate::text::Sentence): usually a sentence, but also several
/// very short ones or a part of a very long one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentenceReceipt {
    /// Text as the model received it.
    pub text: String,
    /// Text as the caller wrote it, without marks such as pauses; absent in receipts of older workers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub written: String,
    /// Start of the written text in the caller's text, or in the text of its turn, in characters.
    #[serde(default)]
    pub start_char: u32,
    /// End of the written text, in characters.
    #[serde(default)]
    pub end_char: u32,
    /// Frames that the model generated; 0 if it ended at once, or if the job's budget had run out.
    pub frames: u32,
    /// Start of the sentence in the audio, in milliseconds.
    pub start_ms: u64,
    /// Duration of the sentence in the audio, in milliseconds: its frames, without the silence cut
    /// off at the joins between sentences.
    pub duration_ms: u64,
    /// Positions of the model's window that the prompt took, context and text together; 0 if the
    /// model was not used.
    pub prompt_positions: u32,
    /// Part of `prompt_positions` that the context took: the job's own segments and earlier
    /// sentences.
    pub context_positions: u32,
    /// Frames that were allowed. Prompt and frames share the window.
    pub max_frames: u32,
    /// Reason why the sentence ended.
    pub finish_reason: FinishReason,
    /// Faults of the takes before this one, in their order; absent if the first take was kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retakes: Vec<TakeFault>,
    /// Fault of this take, which was kept because no further one was allowed; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<TakeFault>,
    /// Seed of the sentence, if it was spoken again by request; absent if the job's own decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// Fault in the audio of a take: of one try to speak a sentence. The limits are settings of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TakeFault {
    /// The model spoke nothing.
    Empty,
    /// The model did not stop.
    Runaway,
    /// More letters a second than can be said: words are missing.
    TooShort,
    /// Too much of the audio is silence.
    Silent,
    /// Too many frames repeat the frame before them.
    Repeated,
    /// The last sound is as loud as the speech before it: the end is missing.
    LoudEnd,
    /// Too many samples are at full scale.
    Clipped,
}

/// The account of a turn of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnReceipt {
    /// Text of the turn, as the caller wrote it.
    pub text: String,
    /// Speaker of the turn.
    pub speaker: u32,
    /// Voice of the turn, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<VoiceName>,
    /// Start of the turn in the audio, in milliseconds.
    pub start_ms: u64,
    /// Duration of the turn in the audio, in milliseconds, without the pause after it.
    pub duration_ms: u64,
}

/// Kind of a [`ReceiptWarning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// A sentence was cut off, because its own budget or that of the job ran out.
    CutOff,
    /// A sentence was not spoken at all, because the job's budget had run out before it.
    NotSpoken,
    /// The model did not stop speaking a sentence, which was therefore cut off.
    Runaway,
    /// A take of a sentence had a fault, so the sentence was spoken again with other draws.
    SpokenAgain,
    /// The take of a sentence that was kept has a fault, too.
    Faulty,
    /// Text and codes could not be kept, so no sentence can be spoken again.
    NotEditable,
}

/// A way in which the audio may differ from what the caller asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptWarning {
    /// Kind of the difference.
    pub code: WarningCode,
    /// Places of the affected sentences in [`Receipt::sentences`], from 0.
    pub sentences: Vec<u32>,
}

/// The receipt of a committed result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Seed of the sampling; the same seed and model give the same codes.
    pub seed: u64,
    /// Model, as named to the worker.
    pub model: String,
    /// True for a model of random weights: the audio is noise, not speech.
    pub noise_only: bool,
    /// SHA-256 over the weight files, in hex.
    pub weights_sha256: String,
    /// Worker process that committed the result.
    pub worker: String,
    /// Number of claims that the job took, including the one that committed.
    pub attempt: u64,
    /// Frames of 80 ms that the model generated. In a long text some of their silence is cut off at
    /// the joins between sentences.
    pub frames: u32,
    /// Part of `frames` that was resumed from an earlier attempt.
    #[serde(default)]
    pub resumed_frames: u32,
    /// Voice that spoke; absent if the request named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<VoiceName>,
    /// Tempo of the speech; absent for the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Samples in the file, at 24 kHz.
    pub samples: u64,
    /// Duration of the samples in milliseconds.
    pub duration_ms: u64,
    /// Reason why the speech ended. With several sentences: `length` if the job's budget cut them
    /// off, else the worst reason of any sentence.
    pub finish_reason: FinishReason,
    /// Ways in which the audio may differ from what was asked for, one for each kind; absent if
    /// there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ReceiptWarning>,
    /// Time from acceptance to the claim of the committing attempt, in milliseconds.
    pub queue_ms: u64,
    /// Time from the claim to the end of the last frame, in milliseconds.
    pub compute_ms: u64,
    /// Time from the claim to the first frame, in milliseconds; absent without frames.
    pub first_audio_ms: Option<u64>,
    /// Real-time factor: compute time divided by audio time; absent without audio.
    pub rtf: Option<f64>,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Container and coding of the file.
    #[serde(default)]
    pub format: AudioFormat,
    /// Findings of the watermark detectors in the committed file, one for each scheme; empty
    /// without audio.
    #[serde(default)]
    pub watermarks: Vec<Finding>,
    /// Key of the file in the store.
    pub location: String,
    /// All sentences in the order of speech, one for each utterance. The length limit of a text
    /// bounds their number. Empty in receipts of older versions without this field.
    #[serde(default)]
    pub sentences: Vec<SentenceReceipt>,
    /// Turns of a dialogue, in the order of speech; absent for any other job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<TurnReceipt>,
    /// Time up to which single sentences can be spoken again; absent if they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editable_until: Option<Timestamp>,
    /// Id of the trace that the job is in, as 32 hexadecimal digits; absent outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
