//! Messages of a socket.

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::job::limits::{Limit, TEXT_CHARS};
use csm_shared::job::{Invalid, Speed};
use serde_json::{Value, json};

use super::alignment::Alignment;
use crate::http::Problem;
use crate::message_fields::MessageFields;

/// Length of a context's id.
const CONTEXT_ID_CHARS: Limit = Limit { min: 1, max: 128, unit: "characters", status: TEXT_CHARS.status };

/// Id of a context; `None` is the one of callers that name none.
pub(super) type ContextId = Option<String>;

/// Message of the caller.
#[derive(Debug, PartialEq)]
pub(super) struct ClientMessage {
    pub(super) context: ContextId,
    /// Piece of the text; empty for none.
    pub(super) text: String,
    /// True if the text so far is spoken, whole sentences or not.
    pub(super) flush: bool,
    pub(super) close_context: bool,
    pub(super) close_socket: bool,
    /// Tempo of a context that the message opens.
    pub(super) speed: Option<Speed>,
}

/// Message that is refused: the context that it is about, and why.
#[derive(Debug, PartialEq)]
pub(super) struct Refused(pub(super) ContextId, pub(super) Invalid);

impl ClientMessage {
    /// Reads a message. Fields that ElevenLabs has and this server has not are ignored.
    pub(super) fn read(message: &Value) -> Result<Self, Refused> {
        let fields = MessageFields::of(message);
        let context = context_id(&fields).map_err(|invalid| Refused(None, invalid))?;
        Self::read_fields(&fields, context.clone()).map_err(|invalid| Refused(context, invalid))
    }

    fn read_fields(fields: &MessageFields<'_>, context: ContextId) -> Result<Self, Invalid> {
        let flag = |name| fields.boolean(name).map(|flag| flag.unwrap_or(false));
        let text = fields.string("text")?;
        let message = Self {
            context,
            text: text.unwrap_or_default().to_owned(),
            flush: flag("flush")?,
            close_context: flag("close_context")?,
            close_socket: flag("close_socket")?,
            speed: speed(fields)?,
        };
        if text.is_none() && !message.flush && !message.close_context && !message.close_socket {
            return Err(fields.missing("text", "a string, or flush, close_context or close_socket"));
        }
        Ok(message)
    }
}

fn context_id(fields: &MessageFields<'_>) -> Result<ContextId, Invalid> {
    let id = match fields.string("context_id")? {
        None => fields.string("contextId")?,
        id => id,
    };
    match id {
        Some(id) if !CONTEXT_ID_CHARS.allows(id.chars().count() as u64) => Err(Invalid::outside(
            "context_id",
            format!("an id of {} characters", id.chars().count()),
            &CONTEXT_ID_CHARS,
        )),
        id => Ok(id.map(str::to_owned)),
    }
}

/// Reads `voice_settings.speed`. The other settings have no effect.
pub(super) fn speed(fields: &MessageFields<'_>) -> Result<Option<Speed>, Invalid> {
    let Some(settings) = fields.object("voice_settings")? else { return Ok(None) };
    settings.number("speed")?.map(|speed| Speed::new(speed).map_err(settings.name("speed"))).transpose()
}

/// Returns a message with audio, which may be empty.
pub(super) fn audio(context: &ContextId, audio: &Bytes, alignment: Option<&Alignment>) -> Value {
    let alignment = alignment.map(Alignment::document);
    json!({
        "audio": BASE64.encode(audio), "contextId": context, "isFinal": false,
        "alignment": alignment, "normalizedAlignment": alignment,
    })
}

/// Returns the last message of a context.
pub(super) fn last(context: &ContextId) -> Value {
    json!({"contextId": context, "isFinal": true})
}

/// Returns the message of a refusal or a failure. `code` is the code with which ElevenLabs closes a
/// socket for its reason.
pub(super) fn error(context: &ContextId, problem: &Problem, code: u16) -> Value {
    json!({"error": problem.code(), "message": problem.to_string(), "code": code, "contextId": context})
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        let settings = json!({"stability": 0.5, "similarity_boost": 0.8, "speed": 1.1});
        let opened = json!({"text": " ", "voice_settings": settings, "context_id": "c", "generation_config": {}});
        let opened = ClientMessage::read(&opened).unwrap();
        assert_eq!((opened.context, opened.speed.map(Speed::get)), (Some("c".to_owned()), Some(1.1)));
        let keepalive = ClientMessage::read(&json!({"text": ""})).unwrap();
        assert_eq!((keepalive.context, keepalive.text.as_str(), keepalive.flush), (None, "", false));
        let flush = ClientMessage::read(&json!({"contextId": "c", "text": null, "flush": true})).unwrap();
        assert!(flush.flush && flush.context.is_some());
        assert!(ClientMessage::read(&json!({"close_socket": true})).unwrap().close_socket);
    }

    #[test]
    fn a_refusal_names_the_context_and_the_field() {
        let refused = ClientMessage::read(&json!({"context_id": "c", "text": "Hi.", "voice_settings": {"speed": 9}}));
        let Refused(context, invalid) = refused.unwrap_err();
        assert_eq!((context.as_deref(), invalid.field.as_str()), (Some("c"), "voice_settings.speed"));
        assert_eq!(invalid.limit, "0.25 to 4");
    }
}
