//! Ways to say a text that `say-as` of SSML names.
//!
//! Source: W3C, "SSML 1.0 say-as attribute values", Working Group Note, 2005, and the names that cloud
//! services have in common.

use crate::text::numbers::{MONTHS, digits, number, ordinal, parse, whole};

/// Returns the words for a text; `None` if the text speaks for itself.
pub(super) fn said(kind: &str, format: &str, text: &str) -> Option<String> {
    match kind {
        "characters" | "spell-out" | "verbatim" | "letters" => Some(spelled(text)),
        "digits" => Some(digits(text)).filter(|_| is_number(text)),
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

/// Names of signs that are spelled.
const SIGNS: &[(char, &str)] = &[
    ('-', "dash"),
    ('_', "underscore"),
    ('@', "at"),
    ('.', "dot"),
    ('#', "hash"),
    ('$', "dollar"),
    ('%', "percent"),
    ('&', "and"),
    ('+', "plus"),
    ('=', "equals"),
    ('*', "star"),
    ('/', "slash"),
    ('\\', "backslash"),
    (':', "colon"),
    (',', "comma"),
    (';', "semicolon"),
    ('!', "exclamation mark"),
    ('?', "question mark"),
    ('~', "tilde"),
];

/// Says a text letter by letter, digit by digit, and sign by sign.
fn spelled(text: &str) -> String {
    let letter = |letter: char| match letter {
        digit if digit.is_ascii_digit() => Some(digits(&digit.to_string())),
        letter if letter.is_alphanumeric() => {
            let mut capital = letter.to_uppercase();
            Some(if capital.len() == 1 { capital.next() } else { Some(letter) }?.to_string())
        }
        sign => SIGNS.iter().find(|(named, _)| *named == sign).map(|(_, name)| (*name).to_owned()),
    };
    text.chars().filter_map(letter).collect::<Vec<_>>().join(" ")
}

/// Says the groups of a telephone number digit by digit, and a group of letters as a word.
fn telephone(text: &str) -> String {
    let groups = text.split(|sign: char| !sign.is_alphanumeric()).filter(|group| !group.is_empty());
    let said =
        |group: &str| if group.bytes().all(|byte| byte.is_ascii_digit()) { digits(group) } else { group.to_owned() };
    groups.map(said).collect::<Vec<_>>().join(", ")
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
