//! Whether a job's sentences can be spoken again one by one, and the order to do so.

use super::recording::is_sha256;
use super::{Invalid, Seed};

/// Whether single sentences of a job can be spoken again after its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Editing {
    /// They cannot: text and codes are gone when the job has ended.
    #[default]
    Off,
    /// They can: text and codes are kept for a time.
    On,
    /// The job is itself such an edit of another one, and can be edited like it.
    Edit(SentenceEdit),
}

impl Editing {
    /// Returns whether text and codes are kept after the end.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self != Self::Off
    }

    /// Returns the edit, if the job is one.
    #[must_use]
    pub const fn edit(&self) -> Option<&SentenceEdit> {
        match self {
            Self::Edit(edit) => Some(edit),
            Self::Off | Self::On => None,
        }
    }
}

/// Order to speak one sentence of an ended job again. All other sentences stay as they were spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceEdit {
    /// Key in the store of the codes that the ended job spoke.
    pub location: String,
    /// SHA-256 of that object, in hex.
    pub sha256: String,
    /// Number of the sentence, from 0.
    pub sentence: u32,
    /// Seed of the new take.
    pub seed: Seed,
}

impl SentenceEdit {
    /// Refuses a digest that is not 64 hexadecimal digits.
    pub(super) fn check(self) -> Result<Self, Invalid> {
        let malformed = || Invalid::malformed("edit.sha256", &self.sha256, "64 hexadecimal digits");
        if is_sha256(&self.sha256) { Ok(self) } else { Err(malformed()) }
    }
}
