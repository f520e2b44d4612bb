//! Rules for codes of letters and digits: orders, serial numbers, plates, models, postal codes.

use super::{Rule, RuleMatch};
use crate::text::numbers::{cardinal, digits, number, parse, plural};

/// Rules for codes. Measures such as `5kg` begin with a digit and are none.
pub(super) const RULES: &[Rule] = &[
    // A code behind a hash, and one behind the word for it.
    (
        r"(?x)\#([A-Za-z]*[0-9][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+|[A-Z]{1,5}-[A-Z0-9-]*[0-9][A-Z0-9]*
        |[A-Z]{1,5}[0-9]+[A-Z0-9]*)\b",
        |found| {
            let attached = found.before().is_some_and(char::is_alphanumeric);
            (!attached).then(|| format!("number {}", code(found.get(1))))
        },
    ),
    (
        r"(?x)\b((?i:(?:serial|order|invoice|tracking|account|reference|confirmation|model|part|ticket|case|booking
        |policy|member
        |customer|employee|student|batch|lot|item|product|registration|licen[sc]e|routing|reservation|flight|card|vehicle)
        \ (?:number|no\.|code|id|plate)|passcode|sku|vin|license\ plate|form|ref\.|model|part))
        ((?:\ is|:|\ \#)?\ )([A-Z0-9]+(?:-[A-Z0-9]+)*)\b",
        told,
    ),
    // Numbers read in pairs by custom.
    (
        r"(?x)\b((?:Form|Flight|Route|Highway|Interstate|Channel|Boeing|Airbus|Area|Studio|Gate)s?)
        \ ([0-9]{3,4})(?:-([0-9]{1,4}))?\b",
        |found| {
            let more = found.get(3);
            let more = if more.is_empty() { String::new() } else { format!(" {}", number(more)) };
            (!super::goes_on(found.rest)).then(|| format!("{} {}{more}", found.get(1), in_pairs(found.get(2))))
        },
    ),
    // Postal codes of the United Kingdom and Canada.
    (r"\b([A-Z]{1,2}[0-9][0-9A-Z]?) ([0-9][A-Z]{2})\b", |found| {
        Some(format!("{} {}", spelled_code(found.get(1)), spelled_code(found.get(2))))
    }),
    (r"\b([A-Z][0-9][A-Z]) ([0-9][A-Z][0-9])\b", |found| {
        Some(format!("{} {}", spelled_code(found.get(1)), spelled_code(found.get(2))))
    }),
    // Plates: `ABC 1234` behind the word, and `AB12 CDE`.
    (r"\b([A-Z]{2}[0-9]{2}) ([A-Z]{3})\b", |found| {
        Some(format!("{} {}", spelled_code(found.get(1)), spaced(found.get(2))))
    }),
    // Universal identifiers and digests.
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", |found| Some(spelled_code(found.get(0)))),
    (r"\b0x([0-9A-Fa-f]+)\b", |found| Some(format!("zero x {}", spelled_code(found.get(1))))),
    (r"\b[a-z]{1,3}[0-9]+-[0-9]+[A-Z]*\b", |found| joins(found).then(|| code(found.get(0)))),
    // The first and the last of several.
    (r"\b([A-Z]{1,2})([0-9]{1,3})[-–]([A-Z]{1,2})([0-9]{1,3})\b", |found| {
        let range = found.get(1) == found.get(3) && joins(found);
        range.then(|| {
            format!("{} {} to {} {}", found.get(1), figures(found.get(2)), found.get(3), figures(found.get(4)))
        })
    }),
    (r"\b([A-Z]{1,4})-?([0-9]{1,3})s\b", |found| {
        joins(found).then(|| format!("{} {}", found.get(1), plural(&figures(found.get(2)))))
    }),
    (r"\b[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+\b", hyphenated),
    (r"\b[0-9]+[A-Z]{2,}[0-9][A-Z0-9]*\b", |found| Some(code(found.get(0)))),
    (r"\b[A-Z]{1,5}[0-9]+(?:[A-Z]+[0-9]*)*\b", |found| {
        // A letter before a year or a great number is a prefix: `FY2024`.
        let year = found.get(0).trim_start_matches(|letter: char| letter.is_ascii_uppercase()).len() == 4
            && found.get(0).starts_with("FY");
        let alone = found.before() != Some('.') && found.after() != Some('.')
            || found.rest.len() < 2
            || found.rest.starts_with(". ");
        (joins(found) && !year && alone).then(|| code(found.get(0)))
    }),
];

/// Reads digits of a code: up to two as a number, also whole hundreds, more digit by digit, and so
/// those behind a zero.
pub(super) fn figures(text: &str) -> String {
    let round = matches!(text.len(), 3..=4) && text[1..].bytes().all(|digit| digit == b'0');
    match parse(text) {
        Some(number) if (text.len() < 3 || round) && (text.len() < 2 || !text.starts_with('0')) => cardinal(number),
        _ => digits(text),
    }
}

/// Reads a code: `A1-2345` as `A one, two three four five`.
fn code(text: &str) -> String {
    let long = text.len() > 9;
    let group = |group: &str| {
        let mut words: Vec<String> = Vec::new();
        for part in parts(group) {
            let figure = part.starts_with(|digit: char| digit.is_ascii_digit());
            words.push(match part {
                part if figure && long => digits(part),
                part if figure => figures(part),
                part => part.to_owned(),
            });
        }
        words.join(" ")
    };
    text.split('-').map(group).collect::<Vec<_>>().join(" ")
}

/// Reads the number of a house, a room or a road: `twelve thirty-four`, `one oh five`.
pub(super) fn in_pairs(text: &str) -> String {
    let pair = |pair: &str| match (pair, parse(pair)) {
        (zero, Some(value)) if zero.starts_with('0') => format!("oh {}", cardinal(value)),
        (_, value) => value.map_or_else(|| digits(pair), cardinal),
    };
    match text.len() {
        _ if text.starts_with('0') => digits(text),
        1 | 2 => pair(text),
        3 if text.ends_with("00") => number(text),
        3 => format!("{} {}", pair(&text[..1]), pair(&text[1..])),
        4 if text.ends_with("000") => number(text),
        4 if text.ends_with("00") => format!("{} hundred", pair(&text[..2])),
        4 => format!("{} {}", pair(&text[..2]), pair(&text[2..])),
        _ => digits(text),
    }
}

/// Reads a code letter by letter and digit by digit.
pub(super) fn spelled_code(text: &str) -> String {
    let word = |sign: char| {
        if sign.is_ascii_digit() { digits(sign.encode_utf8(&mut [0; 4])) } else { sign.to_uppercase().to_string() }
    };
    text.split('-').map(|group| group.chars().map(word).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

fn spaced(letters: &str) -> String {
    letters.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

/// Parts a code at each change between letters and digits.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let bytes = text.as_bytes();
    for at in 1..bytes.len() {
        if bytes[at].is_ascii_digit() != bytes[at - 1].is_ascii_digit() && text.is_char_boundary(at) {
            parts.push(&text[start..at]);
            start = at;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Returns true if the match touches neither a sign nor the rest of a number.
fn joins(found: &RuleMatch<'_>) -> bool {
    let touched = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || "/_@\\$€£'^°%".contains(next));
    let hyphen = found.before() == Some('-') || found.after() == Some('-');
    let figure =
        found.rest.starts_with(['.', ',', ':']) && found.rest[1..].starts_with(|digit: char| digit.is_ascii_digit());
    let possessive = found.rest.starts_with("'s");
    !touched(found.before()) && (!touched(found.after()) || possessive) && !hyphen && !figure
}

/// Reads codes with hyphens: `COVID-19`, `SN-00412`, `F-16`. Words such as `X-RAY` have no digit.
fn hyphenated(found: &RuleMatch<'_>) -> Option<String> {
    let text = found.get(0);
    let groups: Vec<_> = text.split('-').collect();
    let figure = |group: &str| group.starts_with(|digit: char| digit.is_ascii_digit());
    let word = groups.iter().any(|group| group.len() > 6 && !figure(group));
    let any = text.bytes().any(|byte| byte.is_ascii_digit());
    // `Q1-3` is a range.
    let value = |group: &str| parse(group.trim_start_matches(|letter: char| letter.is_ascii_uppercase()));
    let range = match groups[..] {
        [first, last] if first.len() < 4 && last.len() < 3 && figure(last) => {
            value(first) < value(last) && value(first).is_some()
        }
        _ => false,
    };
    (any && !word && !range && joins(found)).then(|| code(text))
}

/// Reads the code behind the word for it: `serial number 4X-22B`, `part no. 77-B4`.
fn told(found: &RuleMatch<'_>) -> Option<String> {
    let (cue, between, text) = (found.get(1), found.get(2), found.get(3));
    let mixed = text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if text.len() < 3 || !mixed || super::goes_on(found.rest) || found.after() == Some('-') {
        return None;
    }
    let cue = cue.replace("no.", "number").replace("No.", "number");
    let mark = if between.contains(':') {
        ": "
    } else if between.contains("is") {
        " is "
    } else {
        " "
    };
    Some(format!("{cue}{mark}{}", code(text)))
}
