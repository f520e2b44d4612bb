//! Ways to say a text that `say-as` of SSML names.
//!
//! Source: W3C, "SSML 1.0 say-as attribute values", Working Group Note, 2005, and the names that cloud
//! services have in common.

use crate::text::numbers::{MONTHS, digits, number, ordinal, parse, whole};

/// Returns the words for a text; `None` if the text speaks for itself.
pub(super) fn said(kind: &str, format: &str, text: &str) -> Option<String> {
    match kind {
        "characters" | "spell-out" | "verbatim" | "letters" => Some(spelled(text)),
        "digits" => Some(digits(text)).filter(|words| !words.is_empty()),
        "telephone" => Some(telephone(text)),
        "cardinal" | "number" => Some(whole(&text.replace([',', ' '], ""))).filter(|_| is_number(text)),
        "ordinal" => parse(text).filter(|_| is_number(text)).map(ordinal),
        "date" => date(format, text),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',' || byte == b' ')
}

/// Says a text letter by letter, and digit by digit.
fn spelled(text: &str) -> String {
    let letter = |letter: char| match letter {
        digit if digit.is_ascii_digit() => digits(&digit.to_string()),
        letter => letter.to_uppercase().collect(),
    };
    let letters = text.chars().filter(|letter| letter.is_alphanumeric()).map(letter);
    letters.collect::<Vec<_>>().join(" ")
}

/// Says the groups of a telephone number digit by digit.
fn telephone(text: &str) -> String {
    let groups = text.split(|digit: char| !digit.is_ascii_digit()).filter(|group| !group.is_empty());
    groups.map(digits).collect::<Vec<_>>().join(", ")
}

/// Says a date whose parts are in the order that `format` names: `mdy`, `dmy`, `ymd`, `md`, `dm`,
/// `ym`, `my`, `d`, `m` or `y`.
fn date(format: &str, text: &str) -> Option<String> {
    let parts: Vec<_> = text.split(['-', '/', '.', ' ']).filter(|part| !part.is_empty()).collect();
    if format.is_empty() || format.len() != parts.len() {
        return None;
    }
    let part = |name: char| format.find(name).and_then(|place| parts.get(place).copied());
    let month = part('m').map(|month| MONTHS.get((parse(month)? as usize).checked_sub(1)?).copied());
    let day = part('d').map(|day| parse(day).filter(|day| (1..=31).contains(day)).map(ordinal));
    let (month, day) =
        (month.map_or(Some(None), |month| Some(Some(month?)))?, day.map_or(Some(None), |day| Some(Some(day?)))?);
    let year = part('y').map(number);
    let words: Vec<_> = [month.map(str::to_owned), day].into_iter().flatten().collect();
    let words = [Some(words.join(" ")).filter(|words| !words.is_empty()), year];
    Some(words.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
