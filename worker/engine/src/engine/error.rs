//! Failures of an engine, and refusals of an utterance.

/// Reason why the engine refused an utterance or has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Every slot is taken; try again when one is free.
    #[error("every slot is taken")]
    NoFreeSlot,
    /// The model can never speak this utterance; the engine still works.
    #[error("the utterance cannot be spoken: {0}")]
    Refused(String),
    /// The engine could not be started.
    #[error("the engine cannot start: {0}")]
    Start(String),
    /// The model or the device failed during generation; the engine has ended.
    #[error("the model failed: {0}")]
    Model(String),
    /// The engine's thread panicked; the engine has ended.
    #[error("the engine panicked: {0}")]
    Panicked(String),
    /// The engine made no progress and was given up.
    #[error("the engine is stuck")]
    Stuck,
    /// The last handle was dropped; the engine has ended.
    #[error("the engine was closed")]
    Closed,
}

impl EngineError {
    /// Returns whether the utterance is at fault, so that every engine would refuse it.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}
