//! Messages of the caller.

use std::borrow::Cow;

use csm_formats::SAMPLE_RATES;
use csm_queue::live::EventId;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::limits::{Limit, TEXT_CHARS};
use csm_shared::job::{Invalid, JobId, Tenant};

use crate::fields::{FieldError, JsonObject, UnknownFields, parse_json};
use crate::resources::DecodeRecording;
use crate::speech_template::SpeechTemplate;

/// Length of a context's id.
const CONTEXT_ID_CHARS: Limit = Limit { min: 1, max: 128, unit: "characters", status: TEXT_CHARS.status };
/// Types of messages, as refusals list them.
const TYPES: &str = "start, text, flush, end, cancel, resume or ping";

/// Form of the audio messages of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AudioMessages {
    /// Binary messages with a head.
    Binary,
    /// JSON with base64.
    Base64,
}

/// Context that begins.
pub(super) struct Start {
    pub(super) context_id: String,
    /// Fields of its jobs.
    pub(super) template: SpeechTemplate,
    pub(super) audio: AudioMessages,
    /// Samples a second.
    pub(super) rate: u32,
    /// True if the job in progress goes on when the connection is lost.
    pub(super) detach: bool,
    /// Job to go on with, and the event behind which.
    pub(super) resume: Option<(JobId, EventId)>,
}

/// Message about a context that is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ContextMessage {
    /// Piece of the text, and whether it is spoken at once.
    Text {
        text: String,
        flush: bool,
    },
    Flush,
    End,
    Cancel,
}

/// Message that needs no recording.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage {
    /// Start of a context; [`read_start`] reads it.
    Start,
    Context {
        context_id: String,
        message: ContextMessage,
    },
    /// Question whether the connection works; an `id` comes back with the answer.
    Ping {
        id: Option<String>,
    },
}

/// Reads a message. Unknown fields are refused.
pub(super) fn read(body: &[u8]) -> Result<ClientMessage, Invalid> {
    let mut object = object(body)?;
    let kind = kind(&mut object)?;
    let message = match kind.as_ref() {
        "start" | "resume" => return Ok(ClientMessage::Start),
        "ping" => {
            let id = object.string("id")?.map(|id| checked_id("id", &id)).transpose()?;
            object.finish()?;
            return Ok(ClientMessage::Ping { id });
        }
        "text" | "flush" | "end" | "cancel" => kind,
        other => return Err(Invalid::malformed("type", other, TYPES)),
    };
    let context_id = context_id(&mut object)?;
    let message = match message.as_ref() {
        "text" => {
            let text = object.string("text")?.ok_or_else(|| Invalid::malformed("text", "(missing)", "a string"))?;
            ContextMessage::Text { text: text.into_owned(), flush: object.boolean("flush")?.unwrap_or(false) }
        }
        "flush" => ContextMessage::Flush,
        "end" => ContextMessage::End,
        _ => ContextMessage::Cancel,
    };
    object.finish()?;
    Ok(ClientMessage::Context { context_id, message })
}

/// Reads `start` or `resume`.
pub(super) fn read_start(body: &[u8], tenant: Tenant, decode: &mut DecodeRecording<'_>) -> Result<Start, FieldError> {
    let mut object = object(body)?;
    let resumed = match kind(&mut object)?.as_ref() {
        "start" => false,
        "resume" => true,
        other => return Err(Invalid::malformed("type", other, "start or resume, for a message of this size").into()),
    };
    let context_id = context_id(&mut object)?;
    let audio = match object.string("audio")?.as_deref() {
        None | Some("binary") => AudioMessages::Binary,
        Some("base64") => AudioMessages::Base64,
        Some(other) => return Err(Invalid::malformed("audio", other, "binary or base64").into()),
    };
    let detach = match object.string("on_disconnect")?.as_deref() {
        None | Some("cancel") => false,
        Some("detach") => true,
        Some(other) => return Err(Invalid::malformed("on_disconnect", other, "cancel or detach").into()),
    };
    let rate = object.integer(&["sample_rate"])?.map_or(Ok(SAMPLE_RATE), sample_rate)?;
    let resume = if resumed { Some(resume(&mut object, rate)?) } else { None };
    let template = SpeechTemplate::read(&mut object, tenant, decode)?;
    object.finish()?;
    Ok(Start { context_id, template, audio, rate, detach, resume })
}

/// Returns the context that a refused message names, if that can be read.
pub(super) fn named_context(body: &[u8]) -> Option<String> {
    context_id(&mut object(body).ok()?).ok()
}

/// Opens a message.
fn object(body: &[u8]) -> Result<JsonObject<'_>, Invalid> {
    let opened = parse_json(body).and_then(|body| JsonObject::of_request(body, UnknownFields::Refuse));
    opened.map_err(|invalid| match invalid.field.as_str() {
        "(body)" => Invalid { field: "(message)".to_owned(), ..invalid },
        _ => invalid,
    })
}

fn kind<'a>(object: &mut JsonObject<'a>) -> Result<Cow<'a, str>, Invalid> {
    object.string("type")?.ok_or_else(|| Invalid::malformed("type", "(missing)", TYPES))
}

fn context_id(object: &mut JsonObject<'_>) -> Result<String, Invalid> {
    let limit = CONTEXT_ID_CHARS.describe();
    let id = object.string("context_id")?.ok_or_else(|| Invalid::malformed("context_id", "(missing)", limit))?;
    checked_id("context_id", &id)
}

fn checked_id(field: &str, id: &str) -> Result<String, Invalid> {
    let chars = id.chars().count() as u64;
    if CONTEXT_ID_CHARS.allows(chars) { Ok(id.to_owned()) } else { Err(Invalid::outside(field, id, &CONTEXT_ID_CHARS)) }
}

fn sample_rate(number: i128) -> Result<u32, Invalid> {
    let rates = SAMPLE_RATES.map(|rate| rate.to_string()).join(", ");
    let known = SAMPLE_RATES.into_iter().find(|&rate| i128::from(rate) == number);
    known.ok_or_else(|| Invalid::malformed("sample_rate", number, format!("one of {rates}")))
}

/// Reads `job` and `after`.
fn resume(object: &mut JsonObject<'_>, rate: u32) -> Result<(JobId, EventId), Invalid> {
    let job = object.string("job")?.ok_or_else(|| Invalid::malformed("job", "(missing)", "the id of a job"))?;
    let job = job.parse().map_err(|invalid| Invalid { field: "job".to_owned(), ..invalid })?;
    let Some(after) = object.string("after")? else { return Ok((job, EventId::START)) };
    if rate != SAMPLE_RATE {
        // The resampler has a memory, which begins with the job.
        let limit = format!("{SAMPLE_RATE} if the job goes on behind an event");
        return Err(Invalid::malformed("sample_rate", rate, limit));
    }
    let after = after.parse().map_err(|invalid| Invalid { field: "after".to_owned(), ..invalid })?;
    Ok((job, after))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn start(body: &str) -> Result<Start, Invalid> {
        let mut decode = |file: &[u8], most_ms| Ok(csm_shared::audio::read_within(file, most_ms)?);
        read_start(body.as_bytes(), Tenant::default(), &mut decode).map_err(|error| match error {
            FieldError::Invalid(invalid) => invalid,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn messages_are_read_and_unknown_ones_refused_by_field() {
        let text = read(r#"{"type": "text", "context_id": "a", "text": "Hi.", "flush": true}"#.as_bytes()).unwrap();
        let message = ContextMessage::Text { text: "Hi.".into(), flush: true };
        assert_eq!(text, ClientMessage::Context { context_id: "a".into(), message });
        assert_eq!(read(br#"{"type": "ping", "id": "7"}"#).unwrap(), ClientMessage::Ping { id: Some("7".into()) });
        for (body, field) in [
            ("{", "(message)"),
            ("[]", "(message)"),
            ("{}", "type"),
            (r#"{"type": 1}"#, "type"),
            (r#"{"type": "sing"}"#, "type"),
            (r#"{"type": "text", "text": "a"}"#, "context_id"),
            (r#"{"type": "text", "context_id": ""}"#, "context_id"),
            (r#"{"type": "text", "context_id": {}}"#, "context_id"),
            (r#"{"type": "text", "context_id": "a"}"#, "text"),
            (r#"{"type": "text", "context_id": "a", "text": ["b"]}"#, "text"),
            (r#"{"type": "text", "context_id": "a", "text": "b", "flush": 1}"#, "flush"),
            (r#"{"type": "text", "context_id": "a", "text": "b", "tempo": 1}"#, "tempo"),
            (r#"{"type": "end", "context_id": "a", "text": "b"}"#, "text"),
            (r#"{"type": "ping", "id": 5}"#, "id"),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap_err().field, field, "{body}");
        }
        let long = format!(r#"{{"type": "end", "context_id": "{}"}}"#, "x".repeat(129));
        assert_eq!(read(long.as_bytes()).unwrap_err().limit, "1 to 128 characters");
    }

    #[test]
    fn warnings_about_the_context_of_a_start_are_kept() {
        use base64::Engine as _;
        let wav = csm_shared::audio::Clip::from_samples(vec![7; 1_920]).to_wav();
        let audio = base64::engine::general_purpose::STANDARD.encode(wav);
        let mut decode = |file: &[u8], most_ms| {
            let read = csm_shared::audio::read_within(file, most_ms)?;
            Ok(csm_shared::audio::Recording { warnings: vec!["it ends early".into()], ..read })
        };
        let body = serde_json::json!({"type": "start", "context_id": "a", "context": [{"text": "b", "audio": audio}]});
        let begun = read_start(body.to_string().as_bytes(), Tenant::default(), &mut decode).unwrap();
        let [warning] = begun.template.warnings.as_slice() else { panic!("{:?}", begun.template.warnings) };
        assert_eq!((&*warning.field, &*warning.message), ("context_segments[0].audio", "it ends early"));
    }

    #[test]
    fn a_start_has_the_fields_of_a_job_and_its_own() {
        let begun = start(
            r#"{"type": "start", "context_id": "a", "voice": "ash", "speed": 1.5, "seed": 3, "audio": "base64",
            "sample_rate": 8000, "on_disconnect": "detach", "lane": "bulk", "temperature": 0}"#,
        );
        let begun = begun.unwrap();
        assert_eq!((begun.audio, begun.rate, begun.detach), (AudioMessages::Base64, 8_000, true));
        assert!(begun.resume.is_none());
        let job = JobId::generate();
        let resumed = start(&format!(r#"{{"type": "resume", "context_id": "a", "job": "{job}", "after": "2-7"}}"#));
        assert_eq!(resumed.unwrap().resume, Some((job, EventId { attempt: 2, sequence: 7 })));
        for (body, field) in [
            (r#"{"type": "start"}"#.to_owned(), "context_id"),
            (r#"{"type": "start", "context_id": "a", "voice": "nobody"}"#.to_owned(), "voice"),
            (r#"{"type": "start", "context_id": "a", "text": "Hi"}"#.to_owned(), "text"),
            (r#"{"type": "start", "context_id": "a", "format": "mp3"}"#.to_owned(), "format"),
            (r#"{"type": "start", "context_id": "a", "audio": "smoke"}"#.to_owned(), "audio"),
            (r#"{"type": "start", "context_id": "a", "on_disconnect": 1}"#.to_owned(), "on_disconnect"),
            (r#"{"type": "start", "context_id": "a", "sample_rate": 11025}"#.to_owned(), "sample_rate"),
            (r#"{"type": "start", "context_id": "a", "speed": 9}"#.to_owned(), "speed"),
            (r#"{"type": "start", "context_id": "a", "job": "x"}"#.to_owned(), "job"),
            (r#"{"type": "resume", "context_id": "a"}"#.to_owned(), "job"),
            (r#"{"type": "resume", "context_id": "a", "job": "x"}"#.to_owned(), "job"),
            (format!(r#"{{"type": "resume", "context_id": "a", "job": "{job}", "after": "x"}}"#), "after"),
            (
                format!(
                    r#"{{"type": "resume", "context_id": "a", "job": "{job}", "after": "1-2", "sample_rate": 8000}}"#
                ),
                "sample_rate",
            ),
        ] {
            assert_eq!(start(&body).err().unwrap().field, field, "{body}");
        }
    }
}
