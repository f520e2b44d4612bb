//! The request of a caller to a proven [`JobSpec`]: JSON, then each field through its constructor.
//!
//! Every refusal is an [`Invalid`] with the field's path, the value, and what would be right.

mod audio;
mod json;
mod object;
#[cfg(test)]
mod tests;

use csm_shared::job::limits::{
    CONTEXT_AUDIO_MS, CONTEXT_SEGMENTS, DEFAULT_MAX_AUDIO_LENGTH_MS, MAX_AUDIO_LENGTH_MS, SPEAKER, TEXT_CHARS, TOPK,
};
use csm_shared::job::{
    AudioBudget, Context, Invalid, JobSpec, Lane, Sampling, Seed, Segment, Speaker, Temperature, Text, TopK,
};
use serde_json::Value;

use object::Object;

/// Which of the two faces of the API a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// `/generate` and `/ws`: unknown fields are passed over, as old clients expect; the lane is `live`.
    Compat,
    /// `/v1`: unknown fields are refused.
    Native,
}

const CONTEXT: &str = "context_segments";
const REQUEST_FIELDS: &str =
    "text, speaker, max_audio_length_ms, temperature, topk (top_k), seed, context_segments (context), lane";
const SEGMENT_FIELDS: &str = "text, speaker, audio";

/// Reads a request's body. The model's window is not measured here.
pub(crate) fn read(body: &[u8], face: Face) -> Result<JobSpec, Invalid> {
    let mut request = Object::new("", json::parse(body)?)?;
    let spec = JobSpec {
        text: text(&mut request)?,
        speaker: speaker(&mut request)?,
        budget: budget(&mut request)?,
        sampling: sampling(&mut request)?,
        context: context(&mut request, face)?,
        lane: lane(&mut request, face)?,
    };
    finish(request, face, REQUEST_FIELDS)?;
    Ok(spec)
}

fn finish(object: Object, face: Face, known: &str) -> Result<(), Invalid> {
    match face {
        Face::Compat => Ok(()),
        Face::Native => object.refuse_rest(known),
    }
}

fn text(object: &mut Object) -> Result<Text, Invalid> {
    match object.string("text")? {
        Some(text) => Text::new(&text),
        None => Err(Invalid::malformed("text", "(missing)", TEXT_CHARS.describe())),
    }
}

fn speaker(object: &mut Object) -> Result<Speaker, Invalid> {
    let number = object.integer(&["speaker"])?.unwrap_or(0);
    let number = i64::try_from(number).map_err(|_| Invalid::outside("speaker", number, &SPEAKER))?;
    Speaker::new(number)
}

fn budget(object: &mut Object) -> Result<AudioBudget, Invalid> {
    let ms = object.integer(&["max_audio_length_ms"])?.unwrap_or(DEFAULT_MAX_AUDIO_LENGTH_MS.into());
    let ms = u64::try_from(ms).map_err(|_| Invalid::outside("max_audio_length_ms", ms, &MAX_AUDIO_LENGTH_MS))?;
    AudioBudget::from_ms(ms)
}

fn sampling(object: &mut Object) -> Result<Sampling, Invalid> {
    Ok(Sampling { temperature: temperature(object)?, topk: topk(object)?, seed: seed(object)? })
}

fn temperature(object: &mut Object) -> Result<Temperature, Invalid> {
    let Some(number) = object.number("temperature")? else { return Ok(Temperature::default()) };
    // What is too large for an f32 becomes infinite, and is refused as that; the caller sees what was sent.
    Temperature::new(number as f32).map_err(|invalid| Invalid { value: number.to_string(), ..invalid })
}

fn topk(object: &mut Object) -> Result<TopK, Invalid> {
    let Some(number) = object.integer(&["topk", "top_k"])? else { return Ok(TopK::default()) };
    TopK::new(u32::try_from(number).map_err(|_| Invalid::outside("topk", number, &TOPK))?)
}

fn seed(object: &mut Object) -> Result<Seed, Invalid> {
    let Some(number) = object.integer(&["seed"])? else { return Ok(Seed::draw()) };
    let limit = || format!("a whole number from 0 to {}", u64::MAX);
    u64::try_from(number).map(Seed::new).map_err(|_| Invalid::malformed("seed", number, limit()))
}

fn lane(object: &mut Object, face: Face) -> Result<Lane, Invalid> {
    match face {
        Face::Compat => Ok(Lane::Live),
        Face::Native => object.string("lane")?.map_or(Ok(Lane::default()), |name| name.parse()),
    }
}

fn context(object: &mut Object, face: Face) -> Result<Context, Invalid> {
    let values = object.list(&[CONTEXT, "context"])?.unwrap_or_default();
    // Counted before anything is decoded.
    if !CONTEXT_SEGMENTS.allows(values.len() as u64) {
        return Err(Invalid::outside(CONTEXT, values.len(), &CONTEXT_SEGMENTS));
    }
    let (mut segments, mut total_ms) = (Vec::with_capacity(values.len()), 0);
    for (index, value) in values.into_iter().enumerate() {
        let segment = segment(&format!("{CONTEXT}[{index}]"), value, face)?;
        total_ms += segment.clip.duration_ms();
        // Before the next is decoded: a small WAV of a low rate can hold minutes.
        if !CONTEXT_AUDIO_MS.allows(total_ms) {
            return Err(Invalid::outside(CONTEXT, format!("{total_ms} ms of audio or more"), &CONTEXT_AUDIO_MS));
        }
        segments.push(segment);
    }
    Context::new(segments)
}

fn segment(path: &str, value: Value, face: Face) -> Result<Segment, Invalid> {
    let mut object = Object::new(path, value)?;
    let within = |invalid: Invalid| if invalid.field.starts_with(path) { invalid } else { invalid.within(path) };
    let segment = Segment {
        text: text(&mut object).map_err(within)?,
        speaker: speaker(&mut object).map_err(within)?,
        clip: audio::clip(&format!("{path}.audio"), object.string("audio")?)?,
    };
    finish(object, face, SEGMENT_FIELDS)?;
    Ok(segment)
}
