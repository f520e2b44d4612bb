//! Marks by which a caller controls the speech: pauses, SSML, and pronunciations of words. No mark
//! is ever spoken.
//!
//! `[pause:1.5s]` works in any text. A text that begins with `<speak` is SSML. [`check`] refuses what
//! cannot be meant. [`parts`] takes any text, so that a job that was accepted once stays readable.

mod pause_tags;
mod pronunciations;
mod say_as;
mod ssml;

pub use pronunciations::Pronunciation;
pub(super) use pronunciations::replaced;

use super::mapped_text::MappedText;

/// Longest pause that a mark may ask for, in milliseconds.
pub const PAUSE_MS_MAX: u32 = 10_000;

/// Part of a text up to a pause that the text asks for.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Text without marks.
    pub(super) text: MappedText,
    /// Length of the pause, in milliseconds; `None` at the end of the text.
    pub(super) pause_ms: Option<u32>,
}

impl Part {
    /// Makes a part that ends the text.
    const fn of(text: MappedText) -> Self {
        Self { text, pause_ms: None }
    }
}

/// Mark that cannot be meant as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{mark}: {expected}")]
pub struct ControlFault {
    /// The mark as written.
    pub mark: String,
    /// Form that is expected in its place.
    pub expected: String,
}

impl ControlFault {
    fn new(mark: &str, expected: impl Into<String>) -> Self {
        Self { mark: mark.to_owned(), expected: expected.into() }
    }
}

/// Refuses marks that cannot be meant: pauses that are too long or unreadable, SSML that is not
/// well-formed, and a text of nothing but marks.
///
/// # Errors
/// The first such mark.
pub fn check(text: &str) -> Result<(), ControlFault> {
    if !has_marks(text) {
        return Ok(());
    }
    let written = MappedText::of(text);
    let document = if ssml::is_ssml(text) { ssml::parts(&written)? } else { vec![Part::of(written)] };
    document.iter().try_for_each(|part| pause_tags::checked(part.text.text()))?;
    let parts = with_pauses(document);
    let marks_alone = parts.len() > 1 || ssml::is_ssml(text);
    if marks_alone && parts.iter().all(|part| part.text.text().trim().is_empty()) {
        return Err(ControlFault::new(text, "words to say beside the marks"));
    }
    Ok(())
}

/// Splits a text at the pauses that it asks for; at least one part.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let written = MappedText::of(text);
    let document = if ssml::is_ssml(text) { ssml::parts(&written).ok() } else { None };
    with_pauses(document.unwrap_or_else(|| vec![Part::of(written)]))
}

/// Splits each part at the pauses in brackets that it has.
fn with_pauses(parts: Vec<Part>) -> Vec<Part> {
    let mut split = Vec::with_capacity(parts.len());
    for Part { text, pause_ms } in parts {
        split.append(&mut pause_tags::parts(&text));
        if let Some(last) = split.last_mut() {
            last.pause_ms = pause_ms;
        }
    }
    split
}

/// Returns true if the text has a pause or a tag.
#[must_use]
pub fn has_marks(text: &str) -> bool {
    pause_tags::has_pause(text) || text.contains('<')
}

/// Returns a text with its pronunciations, marks included.
#[must_use]
pub fn with_pronunciations(text: &str, pronunciations: &[Pronunciation]) -> String {
    replaced(&MappedText::of(text), pronunciations).text().to_owned()
}

/// Returns the length of a text of nothing but pauses, in milliseconds; `None` for any other text.
#[must_use]
pub fn pause_alone(text: &str) -> Option<u32> {
    let parts = pause_tags::parts(&MappedText::of(text));
    let alone = parts.len() > 1 && parts.iter().all(|part| part.text.text().trim().is_empty());
    let ms = parts.iter().filter_map(|part| part.pause_ms).fold(0, u32::saturating_add);
    alone.then(|| ms.min(PAUSE_MS_MAX))
}

/// Returns the place behind the end of SSML. `None` if the end has not come yet.
pub(super) fn document_end(text: &str) -> Option<usize> {
    Some(text.to_ascii_lowercase().find(ssml::END)? + ssml::END.len())
}

/// Returns true if the text is SSML, which is not cut into sentences by itself.
#[must_use]
pub fn is_document(text: &str) -> bool {
    ssml::is_ssml(text)
}
