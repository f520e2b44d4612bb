//! Marked audio, which only the marks of this module make.

use std::fmt;

use csm_shared::audio::{to_f32, to_i16};
use csm_shared::job::JobId;
use csm_shared::watermark::BuiltinMarked;

use super::MarkError;
use super::whole::WholeMark;

/// Audio that carries a mark: 24 kHz, mono, 16 bit. The encoders and the live events accept nothing
/// else. Samples get into a value by a mark alone: by the builtin one, or by [`Marked::whole`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Marked {
    samples: Vec<i16>,
}

impl Marked {
    /// Marks a whole recording (24 kHz, full scale 1) and rounds it to 16 bit. A recording that
    /// already carries another mark then carries both.
    ///
    /// # Errors
    /// The mark's error.
    pub(super) fn whole(mark: &dyn WholeMark, job: &JobId, clip: &[f32]) -> Result<Self, MarkError> {
        Ok(Self { samples: mark.embed(clip, job)?.into_iter().map(to_i16).collect() })
    }

    /// Returns the samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Returns the samples as floats in [-1, 1), as a detector takes them.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.samples.iter().copied().map(to_f32).collect()
    }

    /// Appends `next`. The parts of one stream, appended in order, are the utterance.
    pub fn append(&mut self, mut next: Self) {
        self.samples.append(&mut next.samples);
    }
}

/// Audio of the builtin mark, which only a [`MarkStream`](csm_shared::watermark::MarkStream) makes.
impl From<BuiltinMarked> for Marked {
    fn from(marked: BuiltinMarked) -> Self {
        Self { samples: marked.into_samples() }
    }
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marked({} samples)", self.samples.len())
    }
}
