//! `speaker`: the number of the voice within a conversation.

use csm_shared::job::limits::SPEAKER;
use csm_shared::job::{Invalid, Speaker};

use super::JsonObject;

/// Reads the speaker; the default is 0.
pub(crate) fn speaker(object: &mut JsonObject<'_>) -> Result<Speaker, Invalid> {
    let number = object.integer(&["speaker"])?.unwrap_or(0);
    let number = i64::try_from(number).map_err(|_| Invalid::outside("speaker", number, &SPEAKER))?;
    Speaker::new(number)
}
