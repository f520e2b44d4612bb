//! Failures of an attempt, and what they are blamed on: the job, the engine, or a part that all
//! jobs share.

use csm_queue::redis_client::RedisFault;
use csm_shared::job::{Failure, FailureClass};
use csm_shared::prompt::PromptError;

use super::edits::EditError;
use super::recordings::RecordingError;
use super::voices::VoiceError;
use crate::encode::EncodeError;
use crate::health::{Breaker, PartError, SharedFault, SharedPart, check_marks};
use crate::marks::{MarkError, Marker};
use crate::sink::SinkError;
use csm_engine::engine::EngineError;

/// Failure of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The tokenizer refused the text.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A recording of the context is not what the job was accepted with.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The job before cannot be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The prompt of the voice cannot be had.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model spoke nothing for a sentence, however often it was asked.
    #[error("the model spoke nothing for sentence {sentence} of the text, in {tries} tries")]
    Empty {
        /// Number of the sentence, from 1.
        sentence: usize,
        /// Tries with different draws.
        tries: u32,
    },
    /// A part that all jobs share was out of order for too long.
    #[error(transparent)]
    Shared(#[from] SharedFault),
    /// The file can never be stored.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The audio could not be marked, or its mark was not found in it.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// An event could not be published, or the resume point could not be read.
    #[error("live audio: {0}")]
    Publish(#[from] RedisFault),
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The thread that marks and encodes panicked.
    #[error("marking and encoding the audio: {0}")]
    Join(#[from] tokio::task::JoinError),
}

impl<E: Into<Self>> From<PartError<E>> for AttemptError {
    fn from(error: PartError<E>) -> Self {
        match error {
            PartError::Shared(fault) => Self::Shared(fault),
            PartError::Own(error) => error.into(),
        }
    }
}

/// What a failed attempt is blamed on, which decides whether it counts against the job. Messages
/// of failures are safe to show: messages of libraries and devices stay in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The job, or this attempt at it: the failure counts.
    Job(Failure),
    /// The model or its device, and with it every running job: any of them may be the cause.
    Engine(Failure),
    /// A part that all jobs share: nothing counts.
    Shared(SharedFault),
}

impl Blame {
    /// Makes the blame of an engine that failed or got stuck.
    #[must_use]
    pub fn engine() -> Self {
        let message = "the model or its device failed while speaking";
        Self::Engine(Failure::new(FailureClass::Resource, message))
    }
}

/// Finds out what a failed attempt is to be blamed on. Marks that failed are asked for their
/// self-test: if it fails too, they are at fault, and the breaker opens.
pub(crate) async fn blame(error: &AttemptError, marker: &Marker, breaker: &Breaker) -> Blame {
    let job = |class, message: &str| Blame::Job(Failure::new(class, message));
    match error {
        AttemptError::Prompt(_) => job(FailureClass::Invalid, "the text could not be tokenized"),
        AttemptError::Recording(error) => Blame::Job(error.failure()),
        AttemptError::Edit(error) => Blame::Job(error.failure()),
        AttemptError::Voice(VoiceError::Engine(..)) => Blame::engine(),
        AttemptError::Voice(_) => job(FailureClass::Resource, "the prompt of the voice could not be made or read"),
        AttemptError::Engine(error) if error.is_invalid() => job(FailureClass::Invalid, &error.to_string()),
        AttemptError::Engine(_) => Blame::engine(),
        AttemptError::Empty { .. } => job(FailureClass::Invalid, &error.to_string()),
        AttemptError::Shared(fault) => Blame::Shared(fault.clone()),
        AttemptError::Sink(_) => job(FailureClass::Resource, "the audio could not be stored"),
        // Another worker may have access.
        AttemptError::Publish(fault) if fault.is_transient() || fault.is_about_access() => {
            Blame::Shared(SharedFault::new(SharedPart::Redis, fault))
        }
        AttemptError::Publish(_) => job(FailureClass::Transient, "the audio could not be sent while it was spoken"),
        AttemptError::Mark(_) => match check_marks(marker.clone()).await {
            Ok(()) => job(FailureClass::Resource, "the watermark could not be put on the audio, so it may not leave"),
            Err(fault) => {
                breaker.trip(&fault);
                Blame::Shared(fault)
            }
        },
        AttemptError::Encode(_) | AttemptError::Join(_) => {
            job(FailureClass::Resource, "the audio could not be encoded")
        }
    }
}
