//! `text` and `normalize`: the words to speak.

use csm_shared::job::limits::{Limit, TEXT_CHARS};
use csm_shared::job::{Invalid, Text};
use csm_shared::text::control::is_document;

use super::JsonObject;

/// Characters of a text that may become several jobs.
const INPUT_CHARS: Limit = Limit { max: 100_000, ..TEXT_CHARS };

/// Reads the required text.
pub(crate) fn text(object: &mut JsonObject<'_>) -> Result<Text, Invalid> {
    match object.string("text")? {
        Some(text) => Text::new(&text),
        None => Err(Invalid::malformed("text", "(missing)", TEXT_CHARS.describe())),
    }
}

/// Reads the required text under OpenAI's name, `input`. Returns `None` for a text without a letter
/// or digit: there is nothing to say.
pub(crate) fn input(object: &mut JsonObject<'_>) -> Result<Option<String>, Invalid> {
    let text = object.string("input")?;
    let text = text.ok_or_else(|| Invalid::malformed("input", "(missing)", INPUT_CHARS.describe()))?;
    let chars = text.trim().chars().count() as u64;
    if !INPUT_CHARS.allows(chars) {
        let shown = if chars == 0 { format!("{text:?} (blank)") } else { text.into_owned() };
        return Err(Invalid::outside("input", shown, &INPUT_CHARS));
    }
    if chars <= TEXT_CHARS.max || is_document(&text) {
        let named = |invalid: Invalid| Invalid { field: "input".into(), limit: INPUT_CHARS.describe(), ..invalid };
        Text::new(&text).map_err(named)?;
    }
    Ok(text.chars().any(char::is_alphanumeric).then(|| text.trim().to_owned()))
}

/// Reads whether the text is normalised before it is spoken; the default is yes.
pub(crate) fn normalize(object: &mut JsonObject<'_>) -> Result<bool, Invalid> {
    Ok(object.boolean("normalize")?.unwrap_or(true))
}
