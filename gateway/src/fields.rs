//! Readers of request fields: one for each field or small family of fields, used by all faces.
//!
//! A face parses the body ([`parse_json`]), opens a [`JsonObject`], and asks the readers that it
//! wants for its fields. Each reader passes its value through the constructor of `csm_shared::job`.
//! Every refusal is an [`Invalid`](csm_shared::job::Invalid) with the field's path, the value and
//! the limit.

mod base64_text;
mod budget;
mod context;
mod delivery;
mod editing;
mod error;
mod json;
mod object;
mod pronunciations;
mod recording;
mod sampling;
mod speaker;
mod speed;
mod terms;
mod text;
mod turns;
mod voice;

pub(crate) use budget::budget;
pub(crate) use context::context;
pub(crate) use delivery::{delivery, format, lane, lane_or};
pub(crate) use editing::editing;
pub(crate) use error::FieldError;
pub(crate) use json::{RequestJson, parse_json};
pub(crate) use object::{JsonObject, UnknownFields};
pub(crate) use pronunciations::pronunciations;
pub(crate) use recording::audio_file;
pub(crate) use sampling::{sampling, seed, seed_of};
pub(crate) use speaker::speaker;
pub(crate) use speed::speed;
pub(crate) use terms::terms;
pub(crate) use text::{input, normalize, text};
pub(crate) use turns::text_or_turns;
pub(crate) use voice::{voice, voice_and_speaker, voice_named};
