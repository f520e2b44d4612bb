//! `turns`: a dialogue, each part with a speaker or a voice of its own.

use csm_shared::job::limits::{PAUSE_MS, TURNS};
use csm_shared::job::{Invalid, Text, Turn, Turns};

use super::json::RequestJson;
use super::{JsonObject, text, voice_and_speaker};

/// Name of the field.
const NAME: &str = "turns";

/// Reads the turns of a dialogue; empty for a request without any.
fn turns(object: &mut JsonObject<'_>) -> Result<Turns, Invalid> {
    let Some(values) = object.list(&[NAME])? else { return Ok(Turns::default()) };
    if !TURNS.allows(values.count as u64) {
        return Err(Invalid::outside(NAME, values.count, &TURNS));
    }
    let turns = values.first.into_iter().enumerate();
    Turns::new(turns.map(|(place, value)| turn(object, &format!("{NAME}[{place}]"), value)).collect::<Result<_, _>>()?)
}

/// Reads the required text, or the turns of a dialogue in its place, which have texts, voices and
/// speakers of their own.
pub(crate) fn text_or_turns(object: &mut JsonObject<'_>) -> Result<(Text, Turns), Invalid> {
    if !object.has(NAME) {
        let text = text(object)?;
        // The name is known, also of a request without the field.
        return Ok((text, turns(object)?));
    }
    for beside in ["text", "input", "voice", "speaker"] {
        if object.has(beside) {
            return Err(Invalid::malformed(beside, "(present)", format!("absent beside {NAME}")));
        }
    }
    let turns = turns(object)?;
    Ok((Text::new(&turns.text())?, turns))
}

fn turn<'a>(request: &JsonObject<'a>, path: &str, value: RequestJson<'a>) -> Result<Turn, Invalid> {
    let mut object = request.inner(path, value)?;
    let within = |invalid: Invalid| if invalid.field.starts_with(path) { invalid } else { invalid.within(path) };
    let text = text(&mut object).map_err(within)?;
    let (voice, speaker) = voice_and_speaker(&mut object).map_err(within)?;
    let pause_ms = object.integer(&["pause_ms"])?.map(|ms| {
        let refused = |_| Invalid::outside(&format!("{path}.pause_ms"), ms, &PAUSE_MS);
        u32::try_from(ms).map_err(refused)
    });
    let turn = Turn { text, speaker, voice, pause_ms: pause_ms.transpose()? };
    object.finish()?;
    Ok(turn)
}
