//! Rules for all numbers except dates, times and sums of money: rows of digits, ranges, ordinals,
//! fractions and the rest.

use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{cardinal, decimal, digits, number, ordinal, parse, part, plural, whole};

/// Rules for rows of digits that are no number, for ranges, and for the sign of a number.
pub(super) const ROWS: &[Rule] = &[
    (r"\(([0-9]{3})\) ?([0-9]{3}-[0-9]{4})\b", |found| Some(format!("{}-{}", found.get(1), found.get(2)))),
    (r"\b[0-9]+(?:-[0-9]+){2,}\b", |found| Some(row(found.get(0)))),
    (r"\b(?:([0-9]{3}) )?([0-9]{3})-([0-9]{4})\b", phone),
    (r"\b(?:911|112|999)\b", emergency),
    // Ranges and signs.
    (r"([0-9][%$€£¥]?)(?:-| ?– ?)([$€£¥]?[0-9])", |found| {
        Some(format!("{} to {}", found.get(1), found.get(2)))
    }),
    (r"-([$€£]?\.?[0-9])", |found| {
        let free = found.before().is_none_or(|before| before.is_whitespace() || "([".contains(before));
        free.then(|| format!("minus {}", found.get(1)))
    }),
];

/// Rules for all remaining numbers.
pub(super) const NUMBERS: &[Rule] = &[
    (r"\b([0-9]+(?:,[0-9]{3})*)(?:st|nd|rd|th)\b", |found| Some(ordinal(parse(found.get(1))?))),
    (r"\b([0-9]+0)'?s\b", |found| Some(plural(&number(found.get(1))))),
    (r"\b([0-9]{1,2})/([0-9]{1,2})\b", fraction),
    (r"[0-9]+(?:\.[0-9]+){2,}", |found| {
        let parts: Vec<_> = found.get(0).split('.').map(whole).collect();
        Some(found.apart(&parts.join(" point ")))
    }),
    (r"([0-9]+(?:,[0-9]{3})*)?\.([0-9]+)", |found| {
        let whole_part = found.get(1);
        let free = !whole_part.is_empty() || found.before().is_none_or(char::is_whitespace);
        free.then(|| found.apart(&decimal(whole_part, found.get(2))))
    }),
    (r"[0-9]+(?:,[0-9]{3})*", |found| Some(found.apart(&number(found.get(0))))),
];

/// Reads groups of digits digit by digit.
fn row(groups: &str) -> String {
    groups.split(['-', ' ']).map(digits).collect::<Vec<_>>().join(", ")
}

/// Reads a telephone number of three and four digits, which looks like a range such as `500-1000`.
/// The digits are a telephone number behind a word that tells to call, behind a plus, or behind an
/// area code. So are digits that cannot be a range: the last part begins with a zero, or the first
/// is 555, as in films and examples.
fn phone(found: &RuleMatch<'_>) -> Option<String> {
    let part_of_more = found.before().is_some_and(|before| "$€£¥.,/-".contains(before)) || goes_on(found.rest);
    let international = found.head.trim_end().rsplit(' ').next().is_some_and(|last| last.starts_with('+'));
    let sure = !found.get(1).is_empty() || found.get(3).starts_with('0') || found.get(2) == "555";
    let phone = !part_of_more && (sure || international || told_to_call(found.head));
    phone.then(|| row(found.get(0)))
}

/// Reads an emergency number, as in `call 911` and `a 911 call`.
fn emergency(found: &RuleMatch<'_>) -> Option<String> {
    const NOUNS: [&str; 4] = ["call", "calls", "operator", "dispatcher"];
    let part_of_more = found.before().is_some_and(|before| "$€£¥.,/-".contains(before)) || goes_on(found.rest);
    let next =
        found.rest.strip_prefix(' ').and_then(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next());
    let noun = found.get(0) == "911" && next.is_some_and(|next| NOUNS.contains(&next));
    (!part_of_more && (noun || told_to_call(found.head))).then(|| digits(found.get(0)))
}

/// Returns true if the words before a number tell to call it: `call us at`, `tel.`,
/// `dial 555-0123 or`.
fn told_to_call(head: &str) -> bool {
    const CUES: [&str; 10] =
        ["call", "calling", "dial", "dialing", "dialling", "fax", "hotline", "phone", "tel", "telephone"];
    const BETWEEN: [&str; 20] = [
        "and", "at", "back", "free", "her", "him", "is", "line", "me", "my", "no", "now", "number", "on", "or", "our",
        "the", "them", "toll", "us",
    ];
    let line = head.rsplit('\n').next().unwrap_or_default();
    for token in line.split_whitespace().rev() {
        let word = token.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
        let abbreviated = ["tel", "no"].contains(&word.as_str());
        if token.ends_with([',', ';', '!', '?']) || (token.ends_with('.') && !abbreviated) {
            return false;
        }
        if CUES.contains(&word.as_str()) {
            return true;
        }
        let digits = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if !digits && !BETWEEN.contains(&word.as_str()) {
            return false;
        }
    }
    false
}

/// Reads halves, thirds and other common fractions. Other numbers around a slash are dates, scores
/// and hours.
fn fraction(found: &RuleMatch<'_>) -> Option<String> {
    if [found.before(), found.after()].contains(&Some('/')) {
        return None;
    }
    let (top, bottom) = (parse(found.get(1))?, parse(found.get(2))?);
    let mixed = found.head.strip_suffix(' ').is_some_and(|head| head.ends_with(|digit: char| digit.is_ascii_digit()));
    Some(match part(top, bottom) {
        Some(words) if mixed => format!("and {words}"),
        Some(words) => words,
        None if (top, bottom) == (24, 7) => "twenty-four seven".into(),
        None => format!("{} slash {}", cardinal(top), cardinal(bottom)),
    })
}
