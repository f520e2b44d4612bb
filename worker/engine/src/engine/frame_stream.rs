//! The caller's end of an utterance: a stream of frames, then the reason of the end.

use csm_shared::job::FinishReason;
use tokio::sync::{mpsc, oneshot, watch};

use super::engine_command::{AudioFrame, EngineCommand, StreamEnds};
use super::error::EngineError;

/// A stream's link to its engine. The link does not keep the engine alive.
pub(super) struct EngineLink {
    pub(super) commands: Option<mpsc::WeakSender<EngineCommand>>,
    pub(super) closed: watch::Receiver<Option<EngineError>>,
}

impl EngineLink {
    /// Makes the thread check its slots again. A full command queue has the same effect.
    fn wake(&self) {
        if let Some(commands) = self.commands.as_ref().and_then(mpsc::WeakSender::upgrade) {
            let _ = commands.try_send(EngineCommand::Wake);
        }
    }
}

/// Waits until the engine has ended and returns the reason.
pub(super) async fn reason(closed: &mut watch::Receiver<Option<EngineError>>) -> EngineError {
    match closed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(EngineError::Closed),
        Err(_) => EngineError::Closed,
    }
}

/// Stream of an utterance's frames. Dropping the stream frees the slot within one frame.
pub struct FrameStream {
    frames: mpsc::Receiver<AudioFrame>,
    /// Receiver of the reason of the end; `None` once [`FrameStream::next`] has reported the end.
    end: Option<oneshot::Receiver<FinishReason>>,
    finish: Option<FinishReason>,
    link: EngineLink,
}

impl FrameStream {
    pub(super) fn new(ends: StreamEnds, link: EngineLink) -> Self {
        Self { frames: ends.frames, end: Some(ends.finish), finish: None, link }
    }

    /// Returns the next frame, and `None` after the last one. If the engine ends early, it returns
    /// the error once, then `None`.
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

    /// Returns why the utterance ended; known once [`FrameStream::next`] has returned `None`.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }
}
