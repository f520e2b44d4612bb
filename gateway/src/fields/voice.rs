//! `voice`: the person who speaks, by name.

use csm_shared::job::{Invalid, Speaker, VoiceName};

use super::{JsonObject, speaker};

/// Reads the voice: a name, or an object with the name as `id`.
pub(crate) fn voice(object: &mut JsonObject<'_>) -> Result<Option<VoiceName>, Invalid> {
    object.string_or_id("voice")?.map(|name| voice_named(&name)).transpose()
}

/// Returns the voice of a name, in capitals or not. A refusal shows the name as it came.
pub(crate) fn voice_named(name: &str) -> Result<VoiceName, Invalid> {
    let known = name.trim().to_lowercase().parse::<VoiceName>();
    known.map_err(|invalid| Invalid::malformed("voice", name, invalid.limit))
}

/// Reads `voice` and `speaker`. A voice has a speaker of its own, so a request names one of them.
pub(crate) fn voice_and_speaker(object: &mut JsonObject<'_>) -> Result<(Option<VoiceName>, Speaker), Invalid> {
    let named = object.has("speaker");
    let (speaker, voice) = (speaker(object)?, voice(object)?);
    match voice {
        Some(_) if named => Err(Invalid::malformed("speaker", speaker, "absent: the voice has a speaker of its own")),
        Some(voice) => Ok((Some(voice), voice.speaker())),
        None => Ok((None, speaker)),
    }
}
