//! Settings of a session, which a response may change for itself.
//!
//! Fields that have no meaning for speech alone are ignored: instructions, tools, the coding and
//! turn detection of the caller's audio, and the limits of tokens.

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{Invalid, Speed, VoiceName};
use serde_json::{Value, json};

use crate::fields::voice_named;
use crate::message_fields::MessageFields;
use crate::speech_template::DEFAULT_VOICE;

/// Media type of the audio: signed 16 bit, little-endian, mono.
const PCM: &str = "audio/pcm";

/// Settings of the speech.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SpeechConfig {
    pub(super) voice: VoiceName,
    pub(super) speed: Speed,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self { voice: DEFAULT_VOICE, speed: Speed::default() }
    }
}

impl SpeechConfig {
    /// Returns the settings with the changes of `session` or `response`: all of them, or none.
    pub(super) fn changed(self, object: &MessageFields<'_>) -> Result<Self, Invalid> {
        check_modalities(object)?;
        let Some(audio) = object.object("audio")? else { return Ok(self) };
        let Some(output) = audio.object("output")? else { return Ok(self) };
        if let Some(format) = output.object("format")? {
            if format.string("type")? != Some(PCM) {
                return Err(format.refuse("type", PCM));
            }
            if format.number("rate")?.is_some_and(|rate| rate != f64::from(SAMPLE_RATE)) {
                return Err(format.refuse("rate", SAMPLE_RATE.to_string()));
            }
        }
        let voice = match output.string_or_id("voice")? {
            Some(name) => voice_named(name).map_err(output.name("voice"))?,
            None => self.voice,
        };
        let speed = output.number("speed")?.map_or(Ok(self.speed), Speed::new).map_err(output.name("speed"))?;
        Ok(Self { voice, speed })
    }

    /// Returns the `audio` member of a session's document.
    pub(super) fn audio(self) -> Value {
        let format = json!({"type": PCM, "rate": SAMPLE_RATE});
        json!({"output": {"format": format, "voice": self.voice.name(), "speed": self.speed.get()}})
    }
}

/// Refuses other output than audio.
fn check_modalities(object: &MessageFields<'_>) -> Result<(), Invalid> {
    let name = "output_modalities";
    match object.strings(name)?.as_deref() {
        None | Some(["audio"]) => Ok(()),
        Some(_) => Err(object.refuse(name, r#"["audio"]"#)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn changed(session: &Value) -> Result<SpeechConfig, Invalid> {
        SpeechConfig::default().changed(&MessageFields::of(session))
    }

    #[test]
    fn a_change_names_what_it_changes_and_leaves_the_rest() {
        let session = json!({"audio": {"input": null, "output": {"voice": {"id": "Cedar"}}}, "instructions": "calm"});
        let config = changed(&session).unwrap();
        assert_eq!(config, SpeechConfig { voice: VoiceName::Cedar, ..SpeechConfig::default() });
        assert_eq!(changed(&json!({})).unwrap(), SpeechConfig::default());
        let speed = json!({"audio": {"output": {"speed": 1.5}}});
        assert_eq!(changed(&speed).unwrap().audio()["output"]["speed"], 1.5);
        for (session, field) in [
            (json!({"output_modalities": ["text"]}), "output_modalities"),
            (json!({"output_modalities": ["audio", "text"]}), "output_modalities"),
            (json!({"audio": {"output": {"voice": "nobody"}}}), "audio.output.voice"),
            (json!({"audio": {"output": {"format": {"type": "audio/pcmu"}}}}), "audio.output.format.type"),
        ] {
            assert_eq!(changed(&session).unwrap_err().field, field);
        }
    }
}
