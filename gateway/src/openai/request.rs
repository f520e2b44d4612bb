//! Request body of `POST /v1/audio/speech`. Unknown fields are ignored, as clients send fields of
//! other servers.

use csm_formats::{MP3_RATES, SAMPLE_RATES};
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::limits::TEXT_CHARS;
use csm_shared::job::{
    AudioBudget, AudioFormat, Context, Delivery, Editing, InputWarnings, Invalid, JobSpec, Lane, Pronunciations,
    Sampling, Speaker, Speed, Text, Turns, VoiceName,
};

use crate::caller::Caller;
use crate::fields::{
    FieldError, JsonObject, UnknownFields, budget, context, input, lane_or, normalize, parse_json, pronunciations,
    sampling, speed, text_or_turns, voice, voice_and_speaker,
};
use crate::live_audio::deliver_live;
use crate::resources::DecodeRecording;
use crate::sentence_queue::job_texts;
use crate::speech_template::DEFAULT_VOICE;
use crate::submit::JobRequest;

/// Names under which OpenAI's clients ask for speech.
pub(super) const MODEL_ALIASES: [&str; 4] = ["csm-1b", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"];
/// Beginning of dated names of an alias, such as `gpt-4o-mini-tts-2025-03-20`.
const DATED_ALIAS: &str = "gpt-4o-mini-tts-";
/// Status of a model that is not known.
pub(super) const UNKNOWN_MODEL_STATUS: u16 = 404;

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// Bytes of the audio.
    Audio,
    /// Server-sent events with base64 of the same bytes.
    Sse,
}

/// Form of an answer's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpeechForm {
    pub(super) format: AudioFormat,
    /// Samples a second.
    pub(super) rate: u32,
    pub(super) stream: StreamFormat,
    /// True if the request has instructions, which the model cannot follow.
    pub(super) instructions: bool,
}

/// Returns true if a client may ask for the loaded model by this name.
pub(super) fn is_known_model(name: &str, loaded: &str) -> bool {
    name == loaded || MODEL_ALIASES.contains(&name) || name.starts_with(DATED_ALIAS)
}

/// Jobs of a request: the first, and the texts of all of them if there are several.
pub(super) struct SpeechRequest {
    pub(super) form: SpeechForm,
    /// Texts of the jobs that speak one after another; empty for a single job.
    pub(super) texts: Vec<String>,
}

/// Kind of a request: speech that is heard while it is made, or a line of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Live,
    Line,
}

impl Asked {
    /// Returns the lane of a request that names none.
    const fn lane(self) -> Lane {
        match self {
            Self::Live => Lane::Live,
            Self::Line => Lane::Bulk,
        }
    }
}

/// Fields of a request, each checked.
struct SpeechFields {
    form: SpeechForm,
    /// Text; `None` if there is nothing to say.
    input: Option<String>,
    turns: Turns,
    normalize: bool,
    pronunciations: Pronunciations,
    speaker: Speaker,
    voice: Option<VoiceName>,
    speed: Speed,
    budget: Option<AudioBudget>,
    sampling: Sampling,
    context: Context,
    lane: Lane,
    /// Warnings about the context.
    warnings: InputWarnings,
}

impl SpeechFields {
    fn read(
        request: &mut JsonObject<'_>,
        caller: &Caller,
        decode: &mut DecodeRecording<'_>,
        loaded_model: &str,
        asked: Asked,
    ) -> Result<Self, FieldError> {
        model(request, loaded_model)?;
        let form = form(request)?;
        let (input, turns) = match asked {
            Asked::Line if request.has("turns") => {
                let (text, turns) = text_or_turns(request)?;
                (Some(text.as_str().to_owned()), turns)
            }
            _ => (input(request)?, Turns::default()),
        };
        let speed = speed(request)?;
        let (voice, speaker) = match request.has("speaker") && !request.has("voice") {
            true => voice_and_speaker(request)?,
            false if !turns.is_empty() => (None, Speaker::default()),
            false => {
                let voice = voice(request)?.unwrap_or(DEFAULT_VOICE);
                (Some(voice), voice.speaker())
            }
        };
        let mut warnings = InputWarnings::default();
        Ok(Self {
            form,
            input,
            turns,
            normalize: normalize(request)?,
            pronunciations: pronunciations(request)?,
            speaker,
            voice,
            speed,
            budget: budget(request)?,
            sampling: sampling(request, caller.job)?,
            context: context(request, decode, &mut warnings)?,
            lane: lane_or(request, asked.lane())?,
            warnings,
        })
    }

    /// Makes the job that speaks `text` into a file.
    fn spec(&self, text: &str) -> Result<JobSpec, Invalid> {
        let text = Text::new(text)?;
        self.pronunciations.check(&text)?;
        let mut spec = JobSpec {
            text,
            turns: self.turns.clone(),
            normalize: self.normalize,
            pronunciations: self.pronunciations.clone(),
            speaker: self.speaker,
            voice: self.voice,
            speed: self.speed,
            budget: self.budget.unwrap_or_default(),
            sampling: self.sampling,
            context: self.context.clone(),
            lane: self.lane,
            format: self.form.format,
            delivery: Delivery::Store,
            audio_name: None,
            editing: Editing::Off,
            trace: None,
        };
        if self.budget.is_none() {
            spec.budget = AudioBudget::of_sentences(&spec.sentences());
        }
        spec.speed.check(spec.budget)?;
        Ok(spec)
    }
}

/// Reads a request's body. There is no job for a text with nothing to say, such as punctuation alone.
pub(super) fn read(
    body: &[u8],
    caller: &Caller,
    decode: &mut DecodeRecording<'_>,
    loaded_model: &str,
) -> Result<(Option<JobRequest>, SpeechRequest), FieldError> {
    let body = parse_json(body)?;
    let mut ticket = caller.ticket(&body);
    let mut request = JsonObject::of_request(body, UnknownFields::Ignore)?;
    let fields = SpeechFields::read(&mut request, caller, decode, loaded_model, Asked::Live)?;
    ticket.warnings = fields.warnings.clone();
    let mut answer = SpeechRequest { form: fields.form, texts: Vec::new() };
    let Some(input) = &fields.input else { return Ok((None, answer)) };
    let spec = |text: &str| {
        let mut spec = fields.spec(text)?;
        deliver_live(&mut spec);
        Ok::<_, Invalid>(spec)
    };
    let is_long = input.chars().count() as u64 > TEXT_CHARS.max;
    if let (true, Some(budget)) = (is_long, fields.budget) {
        let limit = format!("absent for a text of more than {} characters", TEXT_CHARS.max);
        return Err(Invalid::malformed("max_audio_length_ms", budget.ms(), limit).into());
    }
    let whole = if is_long { None } else { Some(spec(input)) };
    let spec = match whole {
        Some(whole) if fields.budget.is_some() => whole?,
        Some(Ok(whole)) if whole.delivery.is_live() => whole,
        // Several jobs are heard while they are made; one would be heard when all of it is there.
        _ => {
            answer.texts = job_texts(input);
            spec(answer.texts.first().unwrap_or(input))?
        }
    };
    Ok((Some(JobRequest { ticket, spec, repeats: caller.repeats }), answer))
}

/// Reads the body of a line of a batch: the same fields, for a file that nobody hears while it is
/// made. Refuses unknown fields, because nobody would notice that they do nothing.
pub(crate) fn read_line(
    body: &[u8],
    caller: &Caller,
    decode: &mut DecodeRecording<'_>,
    loaded_model: &str,
) -> Result<JobRequest, FieldError> {
    let body = parse_json(body)?;
    let mut ticket = caller.ticket(&body);
    let mut request = JsonObject::of_request(body, UnknownFields::Refuse)?;
    let fields = SpeechFields::read(&mut request, caller, decode, loaded_model, Asked::Line)?;
    request.finish()?;
    ticket.warnings = fields.warnings.clone();
    if fields.form.stream != StreamFormat::Audio {
        return Err(Invalid::malformed("stream_format", "sse", "audio in a batch").into());
    }
    if fields.form.rate != SAMPLE_RATE {
        let limit = format!("{SAMPLE_RATE} in a batch");
        return Err(Invalid::malformed("sample_rate", fields.form.rate, limit).into());
    }
    let input = fields.input.as_deref();
    let input = input.ok_or_else(|| Invalid::malformed("input", "(punctuation)", "a text with a letter or digit"))?;
    let named = |invalid: Invalid| match invalid.field.as_str() {
        "text" => Invalid { field: "input".into(), ..invalid },
        _ => invalid,
    };
    Ok(JobRequest { ticket, spec: fields.spec(input).map_err(named)?, repeats: caller.repeats })
}

/// Reads `model`, which may be missing.
fn model(request: &mut JsonObject<'_>, loaded: &str) -> Result<(), Invalid> {
    match request.string("model")? {
        Some(name) if !is_known_model(&name, loaded) => {
            let known = format!("one of {loaded}, {}", MODEL_ALIASES.join(", "));
            Err(Invalid { status: UNKNOWN_MODEL_STATUS, ..Invalid::malformed("model", name, known) })
        }
        _ => Ok(()),
    }
}

/// Reads `response_format`, `stream_format`, `sample_rate` and `instructions`.
fn form(request: &mut JsonObject<'_>) -> Result<SpeechForm, Invalid> {
    let names = "mp3, opus, flac, wav or pcm";
    let format = match request.string("response_format")? {
        None => AudioFormat::Mp3,
        Some(name) => name.parse().map_err(|_| Invalid::malformed("response_format", name, names))?,
    };
    let stream = match request.string("stream_format")?.as_deref() {
        None | Some("audio") => StreamFormat::Audio,
        Some("sse") => StreamFormat::Sse,
        Some(other) => return Err(Invalid::malformed("stream_format", other, "audio or sse")),
    };
    let rate = match request.integer(&["sample_rate"])? {
        None => SAMPLE_RATE,
        Some(number) => sample_rate(number, format)?,
    };
    let instructions = request.string("instructions")?.is_some_and(|text| !text.trim().is_empty());
    Ok(SpeechForm { format, rate, stream, instructions })
}

/// Checks a sample rate: all of [`SAMPLE_RATES`] for bare samples and WAV, [`MP3_RATES`] for MP3,
/// else 24 kHz.
fn sample_rate(number: i128, format: AudioFormat) -> Result<u32, Invalid> {
    let rates = match format {
        AudioFormat::Pcm | AudioFormat::Wav => &SAMPLE_RATES[..],
        AudioFormat::Mp3 => &MP3_RATES,
        AudioFormat::Flac | AudioFormat::Opus => &[SAMPLE_RATE],
    };
    let known = rates.iter().copied().find(|&rate| i128::from(rate) == number);
    known.ok_or_else(|| {
        let rates: Vec<_> = rates.iter().map(u32::to_string).collect();
        Invalid::malformed("sample_rate", number, format!("one of {} for {format}", rates.join(", ")))
    })
}

#[cfg(test)]
mod tests;
