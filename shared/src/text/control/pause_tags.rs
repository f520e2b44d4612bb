//! Pauses in square brackets: `[pause:1.5s]`, `[pause:500ms]`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{ControlFault, PAUSE_MS_MAX, Part};
use crate::text::mapped_text::MappedText;

/// Beginning of anything that looks like a pause.
static START: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:\[|［)[ \t]*(?i-u:pause\b)").expect("the pattern is a constant, and tested"));
/// Most characters between the word and the closing bracket.
const INNER_CHARS_MAX: usize = 40;
/// Most characters of a length.
const NUMBER_CHARS_MAX: usize = 13;

/// Pause as it is written.
struct Tag {
    range: Range<usize>,
    /// Length in milliseconds; `None` if it is unreadable.
    ms: Option<u32>,
}

/// Returns the pauses of a text. One that is not closed has no length.
fn tags(text: &str) -> impl Iterator<Item = Tag> + '_ {
    START.find_iter(text).map(|start| {
        let rest = &text[start.end()..];
        // A further bracket begins another tag, so tags never overlap.
        let inner = rest.char_indices().take(INNER_CHARS_MAX + 1).take_while(|&(_, letter)| !"\n[［".contains(letter));
        let close = inner.clone().find(|&(_, letter)| letter == ']' || letter == '］');
        match close {
            Some((at, bracket)) => {
                Tag { range: start.start()..start.end() + at + bracket.len_utf8(), ms: length(&rest[..at]) }
            }
            None => Tag { range: start.range(), ms: None },
        }
    })
}

/// Returns the milliseconds of what stands behind the word: `:1.5s`.
fn length(inner: &str) -> Option<u32> {
    let time = inner.trim().strip_prefix(':')?.trim().to_ascii_lowercase();
    let (number, unit) = match time.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (time.strip_suffix('s')?, 1_000.0),
    };
    let number = number.trim_end();
    let plain = number.starts_with(|first: char| first.is_ascii_digit())
        && number.len() <= NUMBER_CHARS_MAX
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain)?;
    Some((number * unit).round() as u32)
}

/// Refuses pauses that are unreadable or too long.
pub(super) fn checked(text: &str) -> Result<(), ControlFault> {
    match tags(text).find(|tag| tag.ms.is_none_or(|ms| ms > PAUSE_MS_MAX)) {
        Some(tag) => Err(ControlFault::new(
            &text[tag.range],
            format!("[pause:500ms] or [pause:1.5s], at most {PAUSE_MS_MAX} ms"),
        )),
        None => Ok(()),
    }
}

/// Returns true if there is a pause in the text.
pub(super) fn has_pause(text: &str) -> bool {
    START.is_match(text)
}

/// Splits a text at its pauses. An unreadable pause has no length, and one that is too long is
/// shortened.
pub(super) fn parts(text: &MappedText) -> Vec<Part> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for Tag { range, ms } in tags(text.text()) {
        let pause_ms = Some(ms.unwrap_or_default().min(PAUSE_MS_MAX));
        parts.push(Part { text: text.slice(start..range.start), pause_ms });
        start = range.end;
    }
    parts.push(Part { text: text.slice(start..text.text().len()), pause_ms: None });
    parts
}
