//! The versioned wire form of [`JobSpec`], stored in Redis. Decoding goes through the constructors.
//! So a payload that was tampered with, or written under older and wider limits, is refused like
//! any other bad request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{
    AudioBudget, AudioFormat, AudioName, Context, Delivery, Editing, Invalid, JobSpec, Lane, Pronunciations, Recording,
    Sampling, Seed, Segment, SentenceEdit, Speaker, Speed, StoredRecording, Temperature, Text, TopK, Turn, Turns,
    VoiceName,
};
use crate::audio::Clip;
use crate::process::traces::TraceContext;
use crate::text::Pronunciation;

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
    /// Absent for a text without any, and in payloads of older gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pronunciations: Vec<PronunciationV1>,
    /// Absent for a job that is no dialogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    turns: Vec<TurnV1>,
    speaker: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voice: Option<VoiceName>,
    /// Absent for the model's own tempo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speed: Option<f64>,
    max_audio_length_ms: u64,
    temperature: f32,
    topk: u32,
    seed: u64,
    lane: Lane,
    #[serde(default)]
    format: AudioFormat,
    #[serde(default)]
    delivery: Delivery,
    /// Absent for audio that is named after its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audio_name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<SegmentV1>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    editable: bool,
    /// Present if the job speaks one sentence of another again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edit: Option<EditV1>,
    /// `traceparent` of the W3C; absent for a job outside of a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

const fn yes() -> bool {
    true
}

#[derive(Serialize, Deserialize)]
struct PronunciationV1 {
    word: String,
    say: String,
}

#[derive(Serialize, Deserialize)]
struct TurnV1 {
    text: String,
    speaker: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voice: Option<VoiceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause_ms: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct SegmentV1 {
    text: String,
    speaker: i64,
    /// Base64 of a 24 kHz mono 16-bit WAV file; empty if the recording is in the store.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    audio: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored: Option<StoredV1>,
}

#[derive(Serialize, Deserialize)]
struct StoredV1 {
    location: String,
    sha256: String,
    samples: u32,
}

#[derive(Serialize, Deserialize)]
struct EditV1 {
    location: String,
    sha256: String,
    sentence: u32,
    seed: u64,
}

/// Encodes the payload as stored in the job's hash.
pub fn encode(spec: &JobSpec) -> Result<String, serde_json::Error> {
    let context = spec.context.segments().iter().map(|segment| {
        let (audio, stored) = match &segment.recording {
            Recording::Clip(clip) => (BASE64.encode(clip.to_wav()), None),
            Recording::Stored(StoredRecording { location, sha256, samples }) => {
                let (location, sha256) = (location.clone(), sha256.clone());
                (String::new(), Some(StoredV1 { location, sha256, samples: *samples }))
            }
        };
        let (text, speaker) = (segment.text.as_str().to_owned(), segment.speaker.get().into());
        SegmentV1 { text, speaker, audio, stored }
    });
    serde_json::to_string(&JobSpecWire::V1(SpecV1 {
        text: spec.text.as_str().to_owned(),
        normalize: spec.normalize,
        pronunciations: spec.pronunciations.as_slice().iter().map(pronunciation_wire).collect(),
        turns: spec.turns.as_slice().iter().map(turn_wire).collect(),
        speaker: spec.speaker.get().into(),
        voice: spec.voice,
        speed: (!spec.speed.is_original()).then_some(spec.speed.get()),
        max_audio_length_ms: spec.budget.ms(),
        temperature: spec.sampling.temperature.get(),
        topk: spec.sampling.topk.get(),
        seed: spec.sampling.seed.get(),
        lane: spec.lane,
        format: spec.format,
        delivery: spec.delivery,
        audio_name: spec.audio_name.as_ref().map(AudioName::to_string),
        context: context.collect(),
        editable: spec.editing.is_on(),
        edit: spec.editing.edit().map(edit_wire),
        trace: spec.trace.as_ref().map(TraceContext::to_string),
    }))
}

/// Decodes a stored payload.
pub fn decode(payload: &str) -> Result<JobSpec, DecodeError> {
    let JobSpecWire::V1(wire) = serde_json::from_str(payload)?;
    let budget = AudioBudget::from_ms(wire.max_audio_length_ms)?;
    let speed = wire.speed.map_or(Ok(Speed::default()), Speed::new)?;
    speed.check(budget)?;
    wire.delivery.check(budget, speed)?;
    let segments = wire.context.iter().map(segment).collect::<Result<_, _>>()?;
    Ok(JobSpec {
        text: Text::new(&wire.text)?,
        normalize: wire.normalize,
        pronunciations: Pronunciations::new(wire.pronunciations.into_iter().map(pronunciation).collect())?,
        turns: turns(&wire.turns)?,
        speaker: Speaker::new(wire.speaker)?,
        voice: wire.voice,
        speed,
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
        audio_name: wire.audio_name.as_deref().map(str::parse).transpose()?,
        editing: match wire.edit {
            Some(edit) => Editing::Edit(sentence_edit(edit).check()?),
            None if wire.editable => Editing::On,
            None => Editing::Off,
        },
        // A trace that cannot be read is no reason to refuse the job.
        trace: wire.trace.and_then(|trace| trace.try_into().ok()),
    })
}

fn edit_wire(edit: &SentenceEdit) -> EditV1 {
    let SentenceEdit { location, sha256, sentence, seed } = edit;
    EditV1 { location: location.clone(), sha256: sha256.clone(), sentence: *sentence, seed: seed.get() }
}

fn sentence_edit(wire: EditV1) -> SentenceEdit {
    let EditV1 { location, sha256, sentence, seed } = wire;
    SentenceEdit { location, sha256, sentence, seed: Seed::new(seed) }
}

fn pronunciation_wire(Pronunciation { word, say }: &Pronunciation) -> PronunciationV1 {
    PronunciationV1 { word: word.clone(), say: say.clone() }
}

fn pronunciation(PronunciationV1 { word, say }: PronunciationV1) -> Pronunciation {
    Pronunciation { word, say }
}

fn turn_wire(turn: &Turn) -> TurnV1 {
    let text = turn.text.as_str().to_owned();
    TurnV1 { text, speaker: turn.speaker.get().into(), voice: turn.voice, pause_ms: turn.pause_ms }
}

fn turns(wire: &[TurnV1]) -> Result<Turns, Invalid> {
    if wire.is_empty() {
        return Ok(Turns::default());
    }
    let turns = wire.iter().map(|turn| {
        let (text, speaker) = (Text::new(&turn.text)?, Speaker::new(turn.speaker)?);
        Ok(Turn { text, speaker, voice: turn.voice, pause_ms: turn.pause_ms })
    });
    Turns::new(turns.collect::<Result<_, Invalid>>()?)
}

fn segment(wire: &SegmentV1) -> Result<Segment, Invalid> {
    let recording = match &wire.stored {
        Some(stored) => Recording::Stored(stored_recording(stored)?),
        None => Recording::Clip(inline_clip(&wire.audio)?),
    };
    Ok(Segment { text: Text::new(&wire.text)?, speaker: Speaker::new(wire.speaker)?, recording })
}

fn inline_clip(audio: &str) -> Result<Clip, Invalid> {
    let malformed = |why: String| Invalid::malformed("context.audio", why, "base64 of a 24 kHz mono 16-bit WAV");
    let wav = BASE64.decode(audio).map_err(|error| malformed(error.to_string()))?;
    Clip::from_wav(&wav).map_err(|error| malformed(error.to_string()))
}

fn stored_recording(wire: &StoredV1) -> Result<StoredRecording, Invalid> {
    let StoredV1 { location, sha256, samples } = wire;
    let stored = StoredRecording { location: location.clone(), sha256: sha256.clone(), samples: *samples };
    let malformed = || Invalid::malformed("context.stored.sha256", sha256, "64 hexadecimal digits");
    stored.is_well_formed().then_some(stored).ok_or_else(malformed)
}
