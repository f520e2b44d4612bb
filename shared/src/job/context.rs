//! The context of a job: earlier utterances of the conversation, each with its text, speaker and
//! recording.

use super::limits::{CONTEXT_AUDIO_MS, CONTEXT_SEGMENTS};
use super::{Invalid, Recording, Speaker, Text};

/// An earlier utterance of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Text of the utterance, matching the audio.
    pub text: Text,
    /// Speaker of the utterance.
    pub speaker: Speaker,
    /// Recording of the utterance; at least one sample.
    pub recording: Recording,
}

/// A bounded list of segments, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context(Vec<Segment>);

impl Context {
    /// Refuses more than [`CONTEXT_SEGMENTS`] segments, more than [`CONTEXT_AUDIO_MS`] in all, and
    /// empty audio.
    pub fn new(segments: Vec<Segment>) -> Result<Self, Invalid> {
        if !CONTEXT_SEGMENTS.allows(segments.len() as u64) {
            return Err(Invalid::outside("context_segments", segments.len(), &CONTEXT_SEGMENTS));
        }
        if let Some(index) = segments.iter().position(|segment| segment.recording.samples() == 0) {
            let field = format!("context_segments[{index}].audio");
            return Err(Invalid::malformed(&field, "0 samples", "a WAV with at least one sample"));
        }
        let total_ms = segments.iter().map(|segment| segment.recording.duration_ms()).sum::<u64>();
        if !CONTEXT_AUDIO_MS.allows(total_ms) {
            return Err(Invalid::outside("context_segments", format!("{total_ms} ms of audio"), &CONTEXT_AUDIO_MS));
        }
        Ok(Self(segments))
    }

    /// Returns the context with other names for the same recordings, such as references to the
    /// store; `rename` gets each recording in order.
    #[must_use]
    pub fn map_recordings(self, mut rename: impl FnMut(Recording) -> Recording) -> Self {
        let renamed = |segment: Segment| Segment { recording: rename(segment.recording), ..segment };
        Self(self.0.into_iter().map(renamed).collect())
    }

    /// Returns the segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}
