//! `context_segments`: earlier segments of the conversation, oldest first.

use csm_shared::audio::Recording;
use csm_shared::job::limits::{CONTEXT_AUDIO_MS, CONTEXT_SEGMENTS};
use csm_shared::job::{Context, InputWarnings, Invalid, Segment};

use super::json::RequestJson;
use super::recording::recording;
use super::{FieldError, JsonObject, speaker, text};
use crate::resources::DecodeRecording;

/// Name of the field, and its path in refusals of the whole list.
const CONTEXT: &str = "context_segments";
/// Name of a segment's recording.
const AUDIO: &str = "audio";

/// Reads the context; the default is none. Each recording may be as long as the ones before it
/// leave over. `warnings` get what the caller should know of the recordings.
pub(crate) fn context(
    object: &mut JsonObject<'_>,
    decode: &mut DecodeRecording<'_>,
    warnings: &mut InputWarnings,
) -> Result<Context, FieldError> {
    let Some(values) = object.list(&[CONTEXT, "context"])? else { return Ok(Context::default()) };
    // Segments are counted before any recording is decoded.
    if !CONTEXT_SEGMENTS.allows(values.count as u64) {
        return Err(Invalid::outside(CONTEXT, values.count, &CONTEXT_SEGMENTS).into());
    }
    let (mut segments, mut left_ms) = (Vec::with_capacity(values.count), CONTEXT_AUDIO_MS.max);
    for (index, value) in values.first.into_iter().enumerate() {
        let path = format!("{CONTEXT}[{index}]");
        let (segment, remarks) = segment(object, &path, value, left_ms, decode)?;
        warnings.add(&format!("{path}.{AUDIO}"), remarks);
        left_ms = left_ms.saturating_sub(segment.recording.duration_ms());
        segments.push(segment);
    }
    Ok(Context::new(segments)?)
}

/// Reads a segment, with warnings about its recording.
fn segment<'a>(
    request: &JsonObject<'a>,
    path: &str,
    value: RequestJson<'a>,
    left_ms: u64,
    decode: &mut DecodeRecording<'_>,
) -> Result<(Segment, Vec<String>), FieldError> {
    let mut object = request.inner(path, value)?;
    let within = |invalid: Invalid| if invalid.field.starts_with(path) { invalid } else { invalid.within(path) };
    let (text, speaker) = (text(&mut object).map_err(within)?, speaker(&mut object).map_err(within)?);
    let path = format!("{path}.{AUDIO}");
    let Recording { clip, warnings } = recording(&path, object.string(AUDIO)?.as_deref(), left_ms, decode)?;
    object.finish()?;
    Ok((Segment { text, speaker, recording: clip.into() }, warnings))
}
