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

/// Reads whether the text is normalised before it is spoken; the default is yes.
pub(crate) fn normalize(object: &mut JsonObject<'_>) -> Result<bool, Invalid> {
    Ok(object.boolean("normalize")?.unwrap_or(true))
}
