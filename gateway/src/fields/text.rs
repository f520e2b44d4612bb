//! `text` and `normalize`: the words to speak.

use csm_shared::job::limits::TEXT_CHARS;
use csm_shared::job::{Invalid, Text};

use super::JsonObject;

/// Reads the required text.
pub(crate) fn text(object: &mut JsonObject<'_>) -> Result<Text, Invalid> {
    match object.string("text")? {
        Some(text) => Text::new(&text),
        None => Err(Invalid::malformed("text", "(missing)", TEXT_CHARS.describe())),
    }
}

/// Reads the required text under OpenAI's name, `input`. Returns `None` for a text without a letter
/// or digit: there is nothing to say.
pub(crate) fn input(object: &mut JsonObject<'_>) -> Result<Option<Text>, Invalid> {
    let named = |invalid: Invalid| Invalid { field: "input".into(), ..invalid };
    let text = object.string("input")?;
    let text = text.ok_or_else(|| Invalid::malformed("input", "(missing)", TEXT_CHARS.describe()))?;
    let text = Text::new(&text).map_err(named)?;
    Ok(text.as_str().chars().any(char::is_alphanumeric).then_some(text))
}

/// Reads whether the text is normalised before it is spoken; the default is yes.
pub(crate) fn normalize(object: &mut JsonObject<'_>) -> Result<bool, Invalid> {
    Ok(object.boolean("normalize")?.unwrap_or(true))
}
