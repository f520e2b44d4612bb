//! `max_audio_length_ms`: the longest result.

use csm_shared::job::limits::MAX_AUDIO_LENGTH_MS;
use csm_shared::job::{AudioBudget, Invalid};

use super::JsonObject;

/// Reads the budget. Without one the text decides: see [`AudioBudget::of_sentences`].
pub(crate) fn budget(object: &mut JsonObject<'_>) -> Result<Option<AudioBudget>, Invalid> {
    let Some(ms) = object.integer(&["max_audio_length_ms"])? else { return Ok(None) };
    let ms = u64::try_from(ms).map_err(|_| Invalid::outside("max_audio_length_ms", ms, &MAX_AUDIO_LENGTH_MS))?;
    AudioBudget::from_ms(ms).map(Some)
}
