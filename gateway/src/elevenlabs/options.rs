//! Voice in the path and options in the query of a speech.

use std::collections::HashMap;

use csm_formats::{EncodeError, StreamEncoder};
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{AudioFormat, Invalid, Tenant, VoiceName};
use serde_json::json;

use crate::fields::{self, FieldError, JsonObject, UnknownFields, parse_json};
use crate::resources::DecodeError;
use crate::speech_template::SpeechTemplate;

/// Status of a value in the query that is refused.
const STATUS: u16 = 400;
/// Status of a voice that is not known.
const UNKNOWN_VOICE_STATUS: u16 = 404;
/// Format of callers that name none.
const DEFAULT_FORMAT: &str = "mp3_44100_128";
/// Formats: name, coding, samples a second. The bit rate in a name has no effect, because the mark
/// is not known to survive the lowest.
const FORMATS: [(&str, AudioFormat, u32); 18] = [
    ("pcm_8000", AudioFormat::Pcm, 8_000),
    ("pcm_16000", AudioFormat::Pcm, 16_000),
    ("pcm_22050", AudioFormat::Pcm, 22_050),
    ("pcm_24000", AudioFormat::Pcm, 24_000),
    ("pcm_44100", AudioFormat::Pcm, 44_100),
    ("pcm_48000", AudioFormat::Pcm, 48_000),
    ("mp3_22050_32", AudioFormat::Mp3, 22_050),
    ("mp3_24000_48", AudioFormat::Mp3, 24_000),
    ("mp3_44100_32", AudioFormat::Mp3, 44_100),
    ("mp3_44100_64", AudioFormat::Mp3, 44_100),
    ("mp3_44100_96", AudioFormat::Mp3, 44_100),
    (DEFAULT_FORMAT, AudioFormat::Mp3, 44_100),
    ("mp3_44100_192", AudioFormat::Mp3, 44_100),
    ("opus_48000_32", AudioFormat::Opus, SAMPLE_RATE),
    ("opus_48000_64", AudioFormat::Opus, SAMPLE_RATE),
    ("opus_48000_96", AudioFormat::Opus, SAMPLE_RATE),
    ("opus_48000_128", AudioFormat::Opus, SAMPLE_RATE),
    ("opus_48000_192", AudioFormat::Opus, SAMPLE_RATE),
];

/// Form of a speech's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputFormat {
    pub(super) format: AudioFormat,
    /// Samples a second that the encoder is given. Opus is decoded at 48 kHz whatever it is.
    pub(super) rate: u32,
}

impl OutputFormat {
    /// Creates an encoder. `serial` tells chained Opus streams apart.
    pub(super) fn encoder(self, serial: u32) -> Result<StreamEncoder, EncodeError> {
        match self.format {
            AudioFormat::Pcm | AudioFormat::Mp3 => StreamEncoder::at_rate(self.format, self.rate),
            format => StreamEncoder::new(format, serial),
        }
    }
}

/// Options of a speech, or of all speeches of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpeechOptions {
    pub(super) voice: VoiceName,
    pub(super) output: OutputFormat,
    /// True if numbers and signs are put into words first.
    pub(super) normalize: bool,
    /// Seed of the draws; `None` draws one.
    pub(super) seed: Option<u64>,
    /// True if times are those of the context, false if they are those of the message.
    pub(super) sync_alignment: bool,
    /// True if a piece that ends a sentence is spoken at once.
    pub(super) auto_mode: bool,
}

impl SpeechOptions {
    /// Reads the voice and the query. Options that ElevenLabs has and this server has not are
    /// ignored.
    pub(super) fn read(voice: &str, query: &HashMap<String, String>) -> Result<Self, Invalid> {
        let name = query.get("output_format").map_or(DEFAULT_FORMAT, String::as_str);
        let known = FORMATS.iter().find(|(known, ..)| *known == name);
        let &(_, format, rate) = known.ok_or_else(|| {
            let names = FORMATS.map(|(known, ..)| known).join(", ");
            refused("output_format", name, format!("one of {names}"))
        })?;
        let seed = query.get("seed").map(|text| {
            text.parse::<u64>().map_err(|_| refused("seed", text, format!("a whole number from 0 to {}", u64::MAX)))
        });
        Ok(Self {
            voice: voice_named(voice)?,
            output: OutputFormat { format, rate },
            normalize: normalization(query.get("apply_text_normalization").map_or("auto", String::as_str))?,
            seed: seed.transpose()?,
            sync_alignment: flag(query, "sync_alignment")?,
            auto_mode: flag(query, "auto_mode")?,
        })
    }

    /// Makes the template of the jobs of a socket.
    pub(super) fn template(&self, tenant: Tenant) -> Result<SpeechTemplate, FieldError> {
        let fields = json!({"voice": self.voice.name(), "seed": self.seed, "normalize": self.normalize}).to_string();
        let mut fields = JsonObject::of_request(parse_json(fields.as_bytes())?, UnknownFields::Refuse)?;
        SpeechTemplate::read(&mut fields, tenant, &mut |_, _| Err(DecodeError::Overloaded))
    }
}

/// Returns the voice of a name.
pub(super) fn voice_named(name: &str) -> Result<VoiceName, Invalid> {
    let refused = |invalid| Invalid { field: "voice_id".to_owned(), status: UNKNOWN_VOICE_STATUS, ..invalid };
    fields::voice_named(name).map_err(refused)
}

/// Reads `apply_text_normalization`: whether numbers and signs are put into words first.
pub(super) fn normalization(name: &str) -> Result<bool, Invalid> {
    match name {
        "auto" | "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(refused("apply_text_normalization", name, "auto, on or off")),
    }
}

fn flag(query: &HashMap<String, String>, name: &str) -> Result<bool, Invalid> {
    match query.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(refused(name, other, "true or false")),
    }
}

fn refused(field: &str, value: &str, expected: impl Into<String>) -> Invalid {
    Invalid { status: STATUS, ..Invalid::malformed(field, value, expected) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(voice: &str, query: &[(&str, &str)]) -> Result<SpeechOptions, Invalid> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SpeechOptions::read(voice, &query)
    }

    #[test]
    fn what_clients_send_is_read() {
        let livekit = [
            ("model_id", "eleven_turbo_v2_5"),
            ("output_format", "mp3_22050_32"),
            ("enable_ssml_parsing", "false"),
            ("enable_logging", "true"),
            ("inactivity_timeout", "180"),
            ("apply_text_normalization", "auto"),
            ("sync_alignment", "true"),
            ("auto_mode", "true"),
        ];
        let options = read("Nova", &livekit).unwrap();
        assert_eq!((options.voice, options.sync_alignment, options.auto_mode), (VoiceName::Nova, true, true));
        assert_eq!(options.output, OutputFormat { format: AudioFormat::Mp3, rate: 22_050 });
        let options = read("ash", &[("seed", "7"), ("apply_text_normalization", "off")]).unwrap();
        assert_eq!((options.seed, options.normalize, options.sync_alignment), (Some(7), false, false));
        assert_eq!(options.output.rate, 44_100);
    }

    #[test]
    fn every_format_has_an_encoder() {
        for (name, ..) in FORMATS {
            let output = read("ash", &[("output_format", name)]).unwrap().output;
            assert!(output.encoder(1).is_ok(), "{name}");
        }
    }
}
