//! `pronunciations`: words of the text that are said in another way.

use std::borrow::Cow;

use csm_shared::job::limits::{PRONUNCIATION_CHARS, PRONUNCIATIONS};
use csm_shared::job::{Invalid, Pronunciations};
use csm_shared::text::Pronunciation;

use super::JsonObject;
use super::json::RequestJson;

/// Name of the field.
const NAME: &str = "pronunciations";

/// Reads the pronunciations; the default is none.
pub(crate) fn pronunciations(object: &mut JsonObject<'_>) -> Result<Pronunciations, Invalid> {
    let Some(values) = object.list(&[NAME])? else { return Ok(Pronunciations::default()) };
    if !PRONUNCIATIONS.allows(values.count as u64) {
        return Err(Invalid::outside(NAME, values.count, &PRONUNCIATIONS));
    }
    let entries = values.first.into_iter().enumerate();
    let entries = entries.map(|(place, value)| pronunciation(object, &format!("{NAME}[{place}]"), value));
    Pronunciations::new(entries.collect::<Result<_, _>>()?)
}

fn pronunciation<'a>(request: &JsonObject<'a>, path: &str, value: RequestJson<'a>) -> Result<Pronunciation, Invalid> {
    let mut object = request.inner(path, value)?;
    let missing =
        |name: &str| Invalid::malformed(&format!("{path}.{name}"), "(missing)", PRONUNCIATION_CHARS.describe());
    let word = object.string("word")?.map(Cow::into_owned).ok_or_else(|| missing("word"))?;
    let say = object.string("say")?.map(Cow::into_owned).ok_or_else(|| missing("say"))?;
    object.finish()?;
    Ok(Pronunciation { word, say })
}
