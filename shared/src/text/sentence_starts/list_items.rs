//! Items of lists within a paragraph: `1.) one 2.) two`, `a. one b. two`, and lines with bullets.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Bullets and numbers that may begin an item. The groups are the bullet, the number and its end.
static MARKER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|\s)(?:([•⁃◦▪‣])\s*)?(?:([0-9]{1,2}|[a-z])(\.\)|[.)]))?")
        .expect("the pattern is a constant, and tested")
});
/// Most characters of a line that may go on in the next. Longer lines are paragraphs of their own.
const LINE_CHARS_MAX: usize = 100;

/// Mark that may begin an item.
struct Marker<'t> {
    range: Range<usize>,
    bullet: bool,
    /// Number, or place of the letter in the alphabet.
    number: Option<u32>,
    /// Marks that close the number.
    close: &'t str,
    begins_line: bool,
    is_letter: bool,
}

/// Returns the ranges of the marks that begin an item, in order.
pub(super) fn items(paragraph: &str) -> Vec<Range<usize>> {
    let markers: Vec<_> = MARKER.captures_iter(paragraph).filter_map(|found| marker(paragraph, &found)).collect();
    let follows = |place: usize, other: usize| {
        let (one, two) = (&markers[place], &markers[other]);
        one.close == two.close
            && one.is_letter == two.is_letter
            && one.number.zip(two.number).is_some_and(|(one, two)| one + 1 == two)
    };
    let begins_item = |place: &usize| {
        let marker = &markers[*place];
        let before = (0..*place).rev().any(|other| follows(other, *place));
        let behind = (*place + 1..markers.len()).any(|other| follows(*place, other));
        marker.bullet || before || (marker.begins_line && (behind || !marker.is_letter))
    };
    let places = (0..markers.len()).filter(begins_item);
    places.map(|place| markers[place].range.clone()).collect()
}

fn marker<'t>(paragraph: &'t str, found: &regex::Captures<'t>) -> Option<Marker<'t>> {
    let range = found.get(0)?.range();
    let text = &paragraph[range.clone()];
    let start = range.start + text.len() - text.trim_start().len();
    let blank_behind = paragraph[range.end..].starts_with(char::is_whitespace);
    let number = found.get(2).map(|number| number.as_str());
    let bullet = found.get(1).is_some();
    if start == range.end || !(blank_behind || (bullet && number.is_none())) {
        return None;
    }
    let is_letter = number.is_some_and(|number| number.starts_with(|letter: char| letter.is_ascii_lowercase()));
    Some(Marker {
        range: start..range.end,
        bullet,
        number: number.and_then(|number| number.parse().ok().or_else(|| Some(u32::from(number.chars().next()?)))),
        close: found.get(3).map_or("", |close| close.as_str()),
        begins_line: paragraph[..start].trim_end_matches([' ', '\t']).is_empty()
            || paragraph[..start].trim_end_matches([' ', '\t']).ends_with('\n'),
        is_letter,
    })
}

/// Returns the places behind lines that end with their line: items, and lines too long to go on.
pub(super) fn line_ends(paragraph: &str, items: &[Range<usize>]) -> Vec<usize> {
    let (mut ends, mut start) = (Vec::new(), 0);
    for line in paragraph.split_inclusive('\n') {
        let end = start + line.len();
        let is_item = items.iter().any(|item| (start..end).contains(&item.start));
        let goes_on =
            paragraph[end..].starts_with(|next: char| " \t".contains(next) || (!is_item && next.is_lowercase()));
        if end < paragraph.len() && !goes_on && (is_item || line.chars().count() > LINE_CHARS_MAX) {
            ends.push(end);
        }
        start = end;
    }
    ends
}
