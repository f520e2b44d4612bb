//! One request to synthesise, proven valid: whoever holds a [`JobSpec`] need not check it again.
//!
//! Every field is a type whose constructor can refuse with an [`Invalid`] that names field, value and limit. A spec carries
//! no serde; [`wire`] holds the versioned twin that travels through Redis and decodes through the constructors.

pub mod limits;

mod context;
mod id;
mod invalid;
mod lane;
mod receipt;
mod record;
mod sampling;
mod speech;
mod state;
pub mod wire;

pub use context::{Context, Segment};
pub use id::JobId;
pub use invalid::{Invalid, Reason};
pub use lane::Lane;
pub use receipt::{FinishReason, Receipt};
pub use record::{Failure, FailureClass, JobRecord};
pub use sampling::{Sampling, Seed, Temperature, TopK};
pub use speech::{AudioBudget, Speaker, Text};
pub use state::JobState;

/// What to say and how: the payload of a job, immutable once accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// The words to speak.
    pub text: Text,
    /// Who speaks them.
    pub speaker: Speaker,
    /// The longest result, in frames of 80 ms.
    pub budget: AudioBudget,
    /// How codes are drawn from the model's logits.
    pub sampling: Sampling,
    /// Earlier turns, oldest first.
    pub context: Context,
    /// How urgent the job is.
    pub lane: Lane,
}

#[cfg(test)]
mod tests;
