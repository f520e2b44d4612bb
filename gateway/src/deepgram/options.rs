//! Query of `/v1/speak`.

use std::collections::HashMap;

use csm_formats::SAMPLE_RATES;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{Invalid, VoiceName};

use crate::fields::voice_named;

/// Status of a value that is refused, as Deepgram answers it.
const STATUS: u16 = 400;
/// Beginning of the names of Deepgram's own voices, such as `aura-2-thalia-en`.
const AURA: &str = "aura";

/// Options of a speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpeakOptions {
    /// Name of the voice; `None` is the default one.
    pub(super) voice: Option<VoiceName>,
    /// Coding, under Deepgram's name.
    pub(super) encoding: Option<String>,
    /// Container, under Deepgram's name.
    pub(super) container: Option<String>,
    /// Samples a second.
    pub(super) rate: u32,
}

impl SpeakOptions {
    /// Reads the query. Names that Deepgram has and this server has not, are ignored.
    pub(super) fn read(query: &HashMap<String, String>) -> Result<Self, Invalid> {
        let refused = |invalid: Invalid| Invalid { status: STATUS, ..invalid };
        let rate = match query.get("sample_rate") {
            None => SAMPLE_RATE,
            Some(text) => {
                let known = SAMPLE_RATES.into_iter().find(|rate| rate.to_string() == *text);
                let rates = SAMPLE_RATES.map(|rate| rate.to_string()).join(", ");
                known.ok_or_else(|| refused(Invalid::malformed("sample_rate", text, format!("one of {rates}"))))?
            }
        };
        Ok(Self {
            voice: query.get("model").map(|name| voice(name)).transpose().map_err(refused)?,
            encoding: query.get("encoding").cloned(),
            container: query.get("container").cloned(),
            rate,
        })
    }

    /// Refuses what a socket does not send: it sends samples without a header.
    pub(super) fn check_socket(&self) -> Result<(), Invalid> {
        match (self.encoding.as_deref(), self.container.as_deref()) {
            (None | Some("linear16"), None | Some("none")) => Ok(()),
            (None | Some("linear16"), Some(other)) => Err(refused("container", other, "none on a socket")),
            (Some(other), _) => Err(refused("encoding", other, "linear16 on a socket")),
        }
    }

    /// Returns the format of an answer: Deepgram's default is MP3, and WAV for samples.
    pub(super) fn format(&self) -> Result<&'static str, Invalid> {
        match (self.encoding.as_deref(), self.container.as_deref()) {
            (None | Some("mp3"), None | Some("none")) => Ok("mp3"),
            (Some("linear16"), Some("none")) => Ok("pcm"),
            (Some("linear16"), None | Some("wav")) => Ok("wav"),
            (Some("flac"), None | Some("none")) => Ok("flac"),
            (Some("opus"), None | Some("ogg")) => Ok("opus"),
            (None | Some("mp3" | "flac"), Some(other)) => Err(refused("container", other, "none for this encoding")),
            (Some("linear16"), Some(other)) => Err(refused("container", other, "none or wav for linear16")),
            (Some("opus"), Some(other)) => Err(refused("container", other, "ogg for opus")),
            (Some(other), _) => Err(refused("encoding", other, "mp3, linear16, flac or opus")),
        }
    }
}

fn refused(field: &str, value: &str, expected: &str) -> Invalid {
    Invalid { status: STATUS, ..Invalid::malformed(field, value, expected) }
}

/// Returns the voice of a name. Each of Deepgram's own names is one of the voices here, always the
/// same.
fn voice(name: &str) -> Result<VoiceName, Invalid> {
    if name.starts_with(AURA) {
        let sum = name.bytes().map(usize::from).sum::<usize>();
        return Ok(VoiceName::ALL[sum % VoiceName::ALL.len()]);
    }
    voice_named(name).map_err(|invalid| Invalid { field: "model".to_owned(), ..invalid })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<SpeakOptions, Invalid> {
        SpeakOptions::read(&query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn voices_are_ours_or_stand_for_those_of_deepgram() {
        assert_eq!(read(&[("model", "ash")]).unwrap().voice, Some(VoiceName::Ash));
        let aura = |name| read(&[("model", name)]).unwrap().voice.unwrap();
        assert_eq!(aura("aura-2-thalia-en"), aura("aura-2-thalia-en"));
        assert_eq!(read(&[]).unwrap(), SpeakOptions { voice: None, encoding: None, container: None, rate: 24_000 });
        let refused = read(&[("model", "nobody")]).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.value.as_str(), refused.status), ("model", "nobody", 400));
        assert_eq!(read(&[("sample_rate", "11025")]).unwrap_err().field, "sample_rate");
        assert_eq!(read(&[("sample_rate", "8000"), ("mip_opt_out", "false")]).unwrap().rate, 8_000);
    }
}
