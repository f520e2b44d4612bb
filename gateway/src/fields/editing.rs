//! `editable`: whether sentences of the job can be spoken again after its end.

use csm_shared::job::{Editing, Invalid};

use super::JsonObject;

/// Reads whether the job is open to edits; the default is that it is not.
pub(crate) fn editing(object: &mut JsonObject<'_>) -> Result<Editing, Invalid> {
    Ok(if object.boolean("editable")?.unwrap_or(false) { Editing::On } else { Editing::Off })
}
