//! Request for speech, as a message of the socket or as the body of `/tts/bytes`.
//!
//! Fields that Cartesia has and this server has not are ignored: the model, the language, the volume
//! and the emotion, the pronunciation dictionary, and the time that text may wait.

use csm_formats::{SAMPLE_RATES, pcm};
use csm_shared::job::{Invalid, Speed, VoiceName};

use crate::fields::voice_named;
use crate::message_fields::MessageFields;

/// Container of the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// Bare samples.
    Raw,
    /// WAV.
    Wav,
    /// MP3.
    Mp3,
}

/// Coding of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Signed 16 bit, little-endian.
    S16,
    /// Floating point of 32 bit from -1 to 1, little-endian.
    F32,
}

/// Form of the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputFormat {
    pub(super) container: Container,
    pub(super) encoding: Encoding,
    /// Samples a second.
    pub(super) rate: u32,
}

/// Settings of a speech. The first request of a context has all of them but the tempo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SpeechSettings {
    pub(super) voice: VoiceName,
    pub(super) output: OutputFormat,
    pub(super) speed: Speed,
}

/// Settings that one request names.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GivenSettings {
    voice: Option<VoiceName>,
    output: Option<OutputFormat>,
    speed: Option<Speed>,
}

/// Text of a context, and what is to happen behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transcript<'a> {
    pub(super) text: &'a str,
    /// True if more text may follow.
    pub(super) continues: bool,
    /// True if the end of all text so far is to be told.
    pub(super) flush: bool,
    /// True if the text is spoken at once, although its sentence may not be whole.
    pub(super) unbuffered: bool,
}

impl SpeechSettings {
    /// Reads the settings of a speech that begins.
    pub(super) fn read(request: &MessageFields<'_>) -> Result<Self, Invalid> {
        let GivenSettings { voice, output, speed } = GivenSettings::read(request)?;
        let Some(voice) = voice else { return Err(request.missing("voice", voice_limit())) };
        let output = output
            .ok_or_else(|| request.missing("output_format", "an object with container, encoding and sample_rate"))?;
        Ok(Self { voice, output, speed: speed.unwrap_or_default() })
    }

    /// Refuses a later request of the speech that names other settings.
    pub(super) fn check_same(&self, request: &MessageFields<'_>) -> Result<(), Invalid> {
        let given = GivenSettings::read(request)?;
        let changed = [
            ("voice", given.voice.is_some_and(|voice| voice != self.voice)),
            ("output_format", given.output.is_some_and(|output| output != self.output)),
            ("generation_config", given.speed.is_some_and(|speed| speed != self.speed)),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            Some((name, _)) => Err(request.refuse(name, "the same for all text of a context")),
            None => Ok(()),
        }
    }
}

impl GivenSettings {
    fn read(request: &MessageFields<'_>) -> Result<Self, Invalid> {
        let config = request.object("generation_config")?;
        let speed = config.as_ref().map(|config| config.number("speed")).transpose()?.flatten();
        Ok(Self {
            voice: voice(request)?,
            output: request.object("output_format")?.map(|output| OutputFormat::read(&output)).transpose()?,
            speed: match (config, speed) {
                (Some(config), Some(speed)) => Some(Speed::new(speed).map_err(config.name("speed"))?),
                _ => None,
            },
        })
    }
}

/// Reads `voice`: a name, or an object of the mode `id` with the name as `id`.
fn voice(request: &MessageFields<'_>) -> Result<Option<VoiceName>, Invalid> {
    let Some(name) = voice_name(request)? else { return Ok(None) };
    voice_named(name).map(Some).map_err(|invalid| Invalid { field: "voice.id".to_owned(), ..invalid })
}

fn voice_name<'a>(request: &MessageFields<'a>) -> Result<Option<&'a str>, Invalid> {
    if request.string("voice").is_ok() {
        return request.string("voice");
    }
    let Some(voice) = request.object("voice")? else { return Ok(None) };
    match voice.string("mode")? {
        None | Some("id") => {}
        Some(_) => return Err(voice.refuse("mode", "id")),
    }
    voice.string("id")?.map(Some).ok_or_else(|| voice.missing("id", voice_limit()))
}

fn voice_limit() -> String {
    let names: Vec<_> = VoiceName::ALL.iter().map(|voice| voice.name()).collect();
    format!("one of {}", names.join(", "))
}

impl OutputFormat {
    fn read(output: &MessageFields<'_>) -> Result<Self, Invalid> {
        let container = match output.string("container")? {
            Some("raw") => Container::Raw,
            Some("wav") => Container::Wav,
            Some("mp3") => Container::Mp3,
            _ => return Err(output.refuse("container", "raw, wav or mp3")),
        };
        let encoding = match output.string("encoding")? {
            Some("pcm_s16le") => Encoding::S16,
            Some("pcm_f32le") if container == Container::Raw => Encoding::F32,
            None if container == Container::Mp3 => Encoding::S16,
            _ if container == Container::Raw => return Err(output.refuse("encoding", "pcm_s16le or pcm_f32le")),
            _ => return Err(output.refuse("encoding", "pcm_s16le in this container")),
        };
        let rate = output.number("sample_rate")?;
        let rate = rate.and_then(|given| SAMPLE_RATES.into_iter().find(|&rate| f64::from(rate) == given));
        let rates = SAMPLE_RATES.map(|rate| rate.to_string()).join(", ");
        let rate = rate.ok_or_else(|| output.refuse("sample_rate", format!("one of {rates}")))?;
        Ok(Self { container, encoding, rate })
    }

    /// Returns the bytes of samples.
    pub(super) fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self.encoding {
            Encoding::S16 => pcm(samples),
            Encoding::F32 => samples.iter().flat_map(|&sample| float(sample).to_le_bytes()).collect(),
        }
    }
}

/// Returns a sample as a number from -1 to 1.
pub(super) fn float(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

impl<'a> Transcript<'a> {
    /// Reads the text of a message.
    pub(super) fn read(request: &MessageFields<'a>) -> Result<Self, Invalid> {
        let text = request.string("transcript")?.ok_or_else(|| request.missing("transcript", "a string"))?;
        let delay = request.number("max_buffer_delay_ms")?;
        if delay.is_some_and(|delay| delay < 0.0) {
            return Err(request.refuse("max_buffer_delay_ms", "a number from 0"));
        }
        Ok(Self {
            text,
            continues: request.boolean("continue")?.unwrap_or_default(),
            flush: request.boolean("flush")?.unwrap_or_default(),
            unbuffered: delay == Some(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::*;

    fn request(voice: &Value) -> Value {
        let output = json!({"container": "raw", "encoding": "pcm_f32le", "sample_rate": 44_100});
        json!({"voice": voice, "output_format": output, "language": "en", "model_id": "sonic-3"})
    }

    #[test]
    fn a_voice_is_a_name_or_an_object() {
        for voice in [json!("Ash"), json!({"mode": "id", "id": "ASH"}), json!({"id": "ash"})] {
            let request = request(&voice);
            let settings = SpeechSettings::read(&MessageFields::of(&request)).unwrap();
            assert_eq!((settings.voice, settings.output.rate), (VoiceName::Ash, 44_100));
            assert_eq!(settings.output.encode(&[i16::MIN]), (-1.0_f32).to_le_bytes());
        }
    }

    #[test]
    fn later_requests_may_leave_out_settings_but_not_change_them() {
        let first = request(&json!("ash"));
        let settings = SpeechSettings::read(&MessageFields::of(&first)).unwrap();
        let same = |request: Value| settings.check_same(&MessageFields::of(&request)).map_err(|invalid| invalid.field);
        assert_eq!(same(json!({"transcript": "a"})), Ok(()));
        assert_eq!(same(first.clone()), Ok(()));
        assert_eq!(same(json!({"voice": "echo"})), Err("voice".to_owned()));
        assert_eq!(same(json!({"generation_config": {"speed": 2}})), Err("generation_config".to_owned()));
        assert_eq!(same(json!({"generation_config": {"speed": 9}})), Err("generation_config.speed".to_owned()));
    }
}
