//! Commands to the engine's thread, and the frames that come back.

use csm_shared::audio::Frame;
use csm_shared::job::FinishReason;
use tokio::sync::{mpsc, oneshot};

use super::error::EngineError;
use super::utterance::Utterance;

/// Largest number of slots of one engine.
pub const MAX_SLOTS: usize = 32;

/// Capacity of the command queue. The thread takes all commands between two steps, so a sender
/// waits for one step at most.
pub(super) const COMMANDS: usize = 64;

/// Capacity of a stream in frames, including those in the codec (2.56 s of audio). When the stream
/// is full, its slot pauses; other slots go on.
pub const FRAMES_AHEAD: usize = 32;

/// Capacity of an engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct EngineCapacity {
    pub(super) slots: usize,
    pub(super) prefix_cache_bytes: u64,
}

/// A command from a handle or a stream to the thread.
pub(super) enum EngineCommand {
    /// Take a slot for an utterance.
    Admit(Box<Admission>),
    /// Look at the slots and notices again.
    Wake,
}

/// An utterance that asks for a slot, with the channel for the answer.
pub(super) struct Admission {
    pub(super) utterance: Utterance,
    pub(super) span: tracing::Span,
    pub(super) reply: oneshot::Sender<Result<StreamEnds, EngineError>>,
}

/// A frame of audio, 80 ms long.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFrame {
    /// Codes of the frame, codebook 0 first.
    pub codes: Frame,
    /// Samples of the frame: 1920 at 24 kHz, nominally within -1..1, not watermarked.
    pub pcm: Vec<f32>,
    /// Whether the frame is a resumed one
    /// ([`Utterance::resumed_frames`](super::Utterance::resumed_frames)), not made here.
    pub replayed: bool,
}

/// Receivers that the engine's thread returns for an admitted utterance.
pub(super) struct StreamEnds {
    pub(super) frames: mpsc::Receiver<AudioFrame>,
    /// Reason of the end; the sender is dropped without a value if the engine ends first.
    pub(super) finish: oneshot::Receiver<FinishReason>,
}
