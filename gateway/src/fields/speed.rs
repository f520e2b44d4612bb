//! `speed`: the tempo of the speech.

use csm_shared::job::{Invalid, Speed};

use super::JsonObject;

/// Reads the tempo; the default is the model's own.
pub(crate) fn speed(object: &mut JsonObject<'_>) -> Result<Speed, Invalid> {
    object.number("speed")?.map_or(Ok(Speed::default()), Speed::new)
}
