//! Query of `/v1/speak`.

use std::collections::HashMap;

use csm_formats::SAMPLE_RATES;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{Invalid, VoiceName};

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
    /// True if `container=none` asks for samples without a header.
    pub(super) bare: bool,
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
            bare: query.get("container").is_some_and(|container| container == "none"),
            rate,
        })
    }
}

/// Returns the voice of a name. Each of Deepgram's own names is one of the voices here, always the
/// same.
fn voice(name: &str) -> Result<VoiceName, Invalid> {
    if name.starts_with(AURA) {
        let sum = name.bytes().map(usize::from).sum::<usize>();
        return Ok(VoiceName::ALL[sum % VoiceName::ALL.len()]);
    }
    let known = name.to_lowercase().parse::<VoiceName>();
    known.map_err(|invalid| Invalid { field: "model".to_owned(), ..invalid })
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
        assert_eq!(read(&[]).unwrap(), SpeakOptions { voice: None, encoding: None, bare: false, rate: 24_000 });
        let refused = read(&[("model", "nobody")]).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.value.as_str(), refused.status), ("model", "nobody", 400));
        assert_eq!(read(&[("sample_rate", "11025")]).unwrap_err().field, "sample_rate");
        assert_eq!(read(&[("sample_rate", "8000"), ("mip_opt_out", "false")]).unwrap().rate, 8_000);
    }
}
