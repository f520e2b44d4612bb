//! The caller's end of one utterance: frames as they are made, then how it ended.

use csm_shared::audio::Frame;
use csm_shared::job::FinishReason;
use tokio::sync::{mpsc, oneshot, watch};

use super::EngineError;
use super::engine_thread::EngineCommand;

/// Frames that may be on their way to their reader, those in the codec included (2.56 s of audio). Then its slot, and no
/// other, waits for it.
pub const FRAMES_AHEAD: usize = 32;

/// 80 ms of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFrame {
    /// The codes, codebook 0 first.
    pub codes: Frame,
    /// 1920 samples at 24 kHz, nominally within -1..1, not watermarked.
    pub pcm: Vec<f32>,
    /// Whether it was given with the utterance ([`Utterance::resumed_frames`](super::Utterance::resumed_frames)), not made here.
    pub replayed: bool,
}

/// The two receivers that the thread hands out with a slot.
pub(super) struct StreamEnds {
    pub(super) frames: mpsc::Receiver<AudioFrame>,
    /// Dropped unsent if the engine ends first.
    pub(super) finish: oneshot::Receiver<FinishReason>,
}

/// What a stream keeps of its engine. It does not keep the engine alive.
pub(super) struct EngineLink {
    pub(super) commands: Option<mpsc::WeakSender<EngineCommand>>,
    pub(super) closed: watch::Receiver<Option<EngineError>>,
}

impl EngineLink {
    /// Makes the thread look at its slots again. A full queue of commands does that too.
    fn wake(&self) {
        if let Some(commands) = self.commands.as_ref().and_then(mpsc::WeakSender::upgrade) {
            let _ = commands.try_send(EngineCommand::Wake);
        }
    }
}

/// Why the engine ended; waits until it has.
pub(super) async fn reason(closed: &mut watch::Receiver<Option<EngineError>>) -> EngineError {
    match closed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(EngineError::Closed),
        Err(_) => EngineError::Closed,
    }
}

/// The frames of one utterance. Dropping it frees the slot within one frame.
pub struct FrameStream {
    frames: mpsc::Receiver<AudioFrame>,
    /// `None` once the end has been told.
    end: Option<oneshot::Receiver<FinishReason>>,
    finish: Option<FinishReason>,
    link: EngineLink,
}

impl FrameStream {
    pub(super) fn new(ends: StreamEnds, link: EngineLink) -> Self {
        Self { frames: ends.frames, end: Some(ends.finish), finish: None, link }
    }

    /// The next frame, `None` after the last, or once the reason why the engine ended before that.
    ///
    /// Cancel safe: no frame is lost when this future is dropped.
    pub async fn next(&mut self) -> Option<Result<AudioFrame, EngineError>> {
        if let Some(frame) = self.frames.recv().await {
            self.link.wake();
            return Some(Ok(frame));
        }
        let told = self.end.as_mut()?.await;
        let ended = match told {
            Ok(finish) => {
                self.finish = Some(finish);
                None
            }
            Err(_) => Some(Err(reason(&mut self.link.closed).await)),
        };
        self.end = None;
        ended
    }

    /// Why the speech ended; known once [`FrameStream::next`] has answered `None`.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }
}
