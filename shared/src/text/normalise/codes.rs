//! Rules for codes of letters and digits: orders, serial numbers, plates, models, postal codes.

use super::{Rule, RuleMatch};
use crate::text::numbers::{cardinal, digits, parse};

/// Rules for codes. Measures such as `5kg` begin with a digit and are none.
pub(super) const RULES: &[Rule] = &[
    // A code behind a hash, and one behind the word for it.
    (r"#([A-Za-z]*[0-9][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+|[A-Z]{1,5}-[A-Z0-9-]*[0-9][A-Z0-9]*|[A-Z]{1,5}[0-9]+[A-Z0-9]*)\b", |found| {
        let attached = found.before().is_some_and(char::is_alphanumeric);
        (!attached).then(|| format!("number {}", code(found.get(1))))
    }),
    (
        r"(?x)\b(?i:(serial|order|invoice|tracking|account|reference|confirmation|model|part|ticket|case|booking|policy|member
        |customer|employee|student|batch|lot|item|product|registration|license|licence|routing|reservation|flight|card)
        \ (?:number|no\.|code|id|plate)|(?:zip|postal|area|access|promo|discount|country|verification|security|pin|product|dial|error)\ ?code
        |postcode|passcode|pin|zip|license\ plate|sku|vin|isbn)
        (s?(?:\ is|\ are|:|\ \#|\ of|\ was)?\ )([A-Z0-9]+(?:-[A-Z0-9]+)*)((?:,?\ (?:or|and|to)\ [A-Z0-9-]+)*)\b",
        told,
    ),
    // Postal codes of the United Kingdom and Canada.
    (r"\b([A-Z]{1,2}[0-9][0-9A-Z]?) ([0-9][A-Z]{2})\b", |found| Some(format!("{} {}", spelled_code(found.get(1)), spelled_code(found.get(2))))),
    (r"\b([A-Z][0-9][A-Z]) ([0-9][A-Z][0-9])\b", |found| Some(format!("{} {}", spelled_code(found.get(1)), spelled_code(found.get(2))))),
    // Plates: `ABC 1234` behind the word, and `AB12 CDE`.
    (r"\b([A-Z]{2}[0-9]{2}) ([A-Z]{3})\b", |found| Some(format!("{} {}", spelled_code(found.get(1)), spaced(found.get(2))))),
    // Universal identifiers and digests.
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", |found| Some(spelled_code(found.get(0)))),
    // The first and the last of several.
    (r"\b([A-Z]{1,2})([0-9]{1,3})[-–]([A-Z]{1,2})([0-9]{1,3})\b", |found| {
        let range = found.get(1) == found.get(3) && joins(found);
        range.then(|| format!("{} {} to {} {}", found.get(1), figures(found.get(2)), found.get(3), figures(found.get(4))))
    }),
    (r"\b[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+\b", |found| hyphenated(found)),
    (r"\b[0-9]+[A-Z]{2,}[0-9][A-Z0-9]*\b", |found| Some(code(found.get(0)))),
    (r"\b[A-Z]{1,5}[0-9]+(?:[A-Z]+[0-9]*)*\b", |found| {
        // A letter before a year or a great number is a prefix: `FY2024`.
        let year = found.get(0).trim_start_matches(|letter: char| letter.is_ascii_uppercase()).len() == 4 && found.get(0).starts_with("FY");
        let alone = found.before() != Some('.') && found.after() != Some('.') || found.rest.len() < 2 || found.rest.starts_with(". ");
        (joins(found) && !year && alone).then(|| code(found.get(0)))
    }),
];

/// Reads digits of a code: up to two as a number, more digit by digit, and also those behind a zero.
pub(super) fn figures(text: &str) -> String {
    match parse(text) {
        Some(number) if text.len() < 3 && !(text.len() == 2 && text.starts_with('0')) => cardinal(number),
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

/// Reads a code letter by letter and digit by digit.
fn spelled_code(text: &str) -> String {
    let word = |sign: char| if sign.is_ascii_digit() { digits(sign.encode_utf8(&mut [0; 4])) } else { sign.to_uppercase().to_string() };
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
    let figure = found.rest.starts_with(['.', ',', ':']) && found.rest[1..].starts_with(|digit: char| digit.is_ascii_digit());
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
    // `A-1` goes on in `A-1.5`.
    (any && !word && joins(found)).then(|| code(text))
}

/// Reads the code behind the word for it: `PIN 4711`, `zip code 90210 or 02139`.
fn told(found: &RuleMatch<'_>) -> Option<String> {
    let head = &found.get(0)[..found.get(0).len() - found.get(2).len() - found.get(3).len() - found.get(4).len()];
    let read = |code: &str| {
        let plain = code.len() > 2 && code.bytes().any(|byte| byte.is_ascii_digit());
        if plain { spelled_code(code) } else { code.to_owned() }
    };
    let first = found.get(3);
    if first.len() < 3 || !first.bytes().any(|byte| byte.is_ascii_digit()) || super::goes_on(found.rest) {
        return None;
    }
    let more: Vec<_> = found.get(4).split(' ').map(read).collect();
    let between = found.get(2).replace('#', "");
    let between = if between.ends_with("  ") { between.trim_end().to_owned() + " " } else { between };
    Some(format!("{head}{between}{}{}", read(first), more.join(" ")))
}
