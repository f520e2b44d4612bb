//! `context_segments`: earlier segments of the conversation, oldest first.

use csm_shared::job::limits::{CONTEXT_AUDIO_MS, CONTEXT_SEGMENTS};
use csm_shared::job::{Context, Invalid, Segment};
use serde_json::Value;

use super::recording::clip;
use super::{JsonObject, speaker, text};

/// Name of the field, and its path in refusals of the whole list.
const CONTEXT: &str = "context_segments";

/// Reads the context; the default is none.
pub(crate) fn context(object: &mut JsonObject) -> Result<Context, Invalid> {
    let values = object.list(&[CONTEXT, "context"])?.unwrap_or_default();
    // Segments are counted before any recording is decoded.
    if !CONTEXT_SEGMENTS.allows(values.len() as u64) {
        return Err(Invalid::outside(CONTEXT, values.len(), &CONTEXT_SEGMENTS));
    }
    let (mut segments, mut total_ms) = (Vec::with_capacity(values.len()), 0);
    for (index, value) in values.into_iter().enumerate() {
        let segment = segment(object, &format!("{CONTEXT}[{index}]"), value)?;
        total_ms += segment.recording.duration_ms();
        // Checked before the next decoding: a small WAV file of a low rate can hold minutes.
        if !CONTEXT_AUDIO_MS.allows(total_ms) {
            return Err(Invalid::outside(CONTEXT, format!("{total_ms} ms of audio or more"), &CONTEXT_AUDIO_MS));
        }
        segments.push(segment);
    }
    Context::new(segments)
}

fn segment(request: &JsonObject, path: &str, value: Value) -> Result<Segment, Invalid> {
    let mut object = request.inner(path, value)?;
    let within = |invalid: Invalid| if invalid.field.starts_with(path) { invalid } else { invalid.within(path) };
    let segment = Segment {
        text: text(&mut object).map_err(within)?,
        speaker: speaker(&mut object).map_err(within)?,
        recording: clip(&format!("{path}.audio"), object.string("audio")?)?.into(),
    };
    object.finish()?;
    Ok(segment)
}
