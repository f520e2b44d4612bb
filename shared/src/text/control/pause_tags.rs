//! Pauses in square brackets: `[pause:1.5s]`, `[pause:500ms]`.

use std::sync::LazyLock;

use regex::Regex;

use super::{ControlFault, PAUSE_MS_MAX, Part};
use crate::text::mapped_text::MappedText;

/// Anything that looks like a pause. The second group is the number, the third its unit.
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)[\[［]\s*pause\b(?:\s*:\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(ms|s)\s*[\]］]|[^\]］\n]{0,40}[\]］]?)")
        .expect("the pattern is a constant, and tested")
});

/// Refuses pauses that are unreadable or too long.
pub(super) fn checked(text: &str) -> Result<(), ControlFault> {
    let wrong = TAG.captures_iter(text).find(|tag| length(tag).is_none_or(|ms| ms > PAUSE_MS_MAX));
    match wrong.and_then(|tag| tag.get(0)) {
        Some(tag) => {
            Err(ControlFault::new(tag.as_str(), format!("[pause:500ms] or [pause:1.5s], at most {PAUSE_MS_MAX} ms")))
        }
        None => Ok(()),
    }
}

/// Returns true if there is a pause in the text.
pub(super) fn has_pause(text: &str) -> bool {
    TAG.is_match(text)
}

/// Splits a text at its pauses. An unreadable pause has no length, and one that is too long is
/// shortened.
pub(super) fn parts(text: &MappedText) -> Vec<Part> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for tag in TAG.captures_iter(text.text()) {
        let Some(range) = tag.get(0).map(|tag| tag.range()) else { continue };
        let pause_ms = Some(length(&tag).unwrap_or_default().min(PAUSE_MS_MAX));
        parts.push(Part { text: text.slice(start..range.start), pause_ms });
        start = range.end;
    }
    parts.push(Part { text: text.slice(start..text.text().len()), pause_ms: None });
    parts
}

/// Returns the length of a pause in milliseconds.
fn length(tag: &regex::Captures<'_>) -> Option<u32> {
    let unit = if tag.get(2)?.as_str().eq_ignore_ascii_case("ms") { 1.0 } else { 1_000.0 };
    let number: f64 = tag.get(1)?.as_str().parse().ok()?;
    Some((number * unit).round() as u32)
}
