//! The versioned wire form of [`JobSpec`], stored in Redis. Decoding goes through the constructors.
//! So a payload that was tampered with, or written under older and wider limits, is refused like
//! any other bad request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{
    AudioBudget, AudioFormat, Context, Delivery, Invalid, JobSpec, Lane, Sampling, Seed, Segment, Speaker, Temperature,
    Text, TopK,
};
use crate::audio::Clip;

/// A payload that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or of an unknown version.
    #[error("job payload: {0}")]
    Json(#[from] serde_json::Error),
    /// Readable, but outside a limit.
    #[error("job payload: {0}")]
    Invalid(#[from] Invalid),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "v")]
enum JobSpecWire {
    #[serde(rename = "1")]
    V1(SpecV1),
}

#[derive(Serialize, Deserialize)]
struct SpecV1 {
    text: String,
    /// Absent in payloads of older gateways; absent means true.
    #[serde(default = "yes")]
    normalize: bool,
    speaker: i64,
    max_audio_length_ms: u64,
    temperature: f32,
    topk: u32,
    seed: u64,
    lane: Lane,
    #[serde(default)]
    format: AudioFormat,
    #[serde(default)]
    delivery: Delivery,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<SegmentV1>,
}

const fn yes() -> bool {
    true
}

#[derive(Serialize, Deserialize)]
struct SegmentV1 {
    text: String,
    speaker: i64,
    /// Base64 of a 24 kHz mono 16-bit WAV file.
    audio: String,
}

/// Encodes the payload as stored in the job's hash.
pub fn encode(spec: &JobSpec) -> Result<String, serde_json::Error> {
    let context = spec.context.segments().iter().map(|segment| SegmentV1 {
        text: segment.text.as_str().to_owned(),
        speaker: segment.speaker.get().into(),
        audio: BASE64.encode(segment.clip.to_wav()),
    });
    serde_json::to_string(&JobSpecWire::V1(SpecV1 {
        text: spec.text.as_str().to_owned(),
        normalize: spec.normalize,
        speaker: spec.speaker.get().into(),
        max_audio_length_ms: spec.budget.ms(),
        temperature: spec.sampling.temperature.get(),
        topk: spec.sampling.topk.get(),
        seed: spec.sampling.seed.get(),
        lane: spec.lane,
        format: spec.format,
        delivery: spec.delivery,
        context: context.collect(),
    }))
}

/// Decodes a stored payload.
pub fn decode(payload: &str) -> Result<JobSpec, DecodeError> {
    let JobSpecWire::V1(wire) = serde_json::from_str(payload)?;
    let budget = AudioBudget::from_ms(wire.max_audio_length_ms)?;
    wire.delivery.check(budget)?;
    let segments = wire.context.iter().map(segment).collect::<Result<_, _>>()?;
    Ok(JobSpec {
        text: Text::new(&wire.text)?,
        normalize: wire.normalize,
        speaker: Speaker::new(wire.speaker)?,
        budget,
        sampling: Sampling {
            temperature: Temperature::new(wire.temperature)?,
            topk: TopK::new(wire.topk)?,
            seed: Seed::new(wire.seed),
        },
        context: Context::new(segments)?,
        lane: wire.lane,
        format: wire.format,
        delivery: wire.delivery,
    })
}

fn segment(wire: &SegmentV1) -> Result<Segment, Invalid> {
    let malformed = |why: String| Invalid::malformed("context.audio", why, "base64 of a 24 kHz mono 16-bit WAV");
    let wav = BASE64.decode(&wire.audio).map_err(|error| malformed(error.to_string()))?;
    let clip = Clip::from_wav(&wav).map_err(|error| malformed(error.to_string()))?;
    Ok(Segment { text: Text::new(&wire.text)?, speaker: Speaker::new(wire.speaker)?, clip })
}
