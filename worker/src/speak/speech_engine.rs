//! Generator of utterances: the engine, or a script in tests.

use std::future::Future;

use csm_shared::job::FinishReason;

use csm_engine::engine::{AudioFrame, Engine, EngineError, FrameStream, Utterance};

/// Generator of utterances.
pub(super) trait SpeechEngine {
    /// Frames of one utterance.
    type Frames: Frames;

    /// Begins an utterance.
    fn admit(&self, utterance: Utterance) -> impl Future<Output = Result<Self::Frames, EngineError>> + Send;
}

/// Frames of one utterance; dropping them cancels it.
pub(super) trait Frames {
    /// Returns the next frame, or `None` after the last.
    fn next(&mut self) -> impl Future<Output = Option<Result<AudioFrame, EngineError>>> + Send;

    /// Returns the reason that the utterance ended, once it has.
    fn finish_reason(&self) -> Option<FinishReason>;
}

impl SpeechEngine for Engine {
    type Frames = FrameStream;

    async fn admit(&self, utterance: Utterance) -> Result<FrameStream, EngineError> {
        Self::admit(self, utterance).await
    }
}

impl Frames for FrameStream {
    async fn next(&mut self) -> Option<Result<AudioFrame, EngineError>> {
        Self::next(self).await
    }

    fn finish_reason(&self) -> Option<FinishReason> {
        Self::finish_reason(self)
    }
}
