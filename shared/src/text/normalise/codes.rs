//! Rules for codes of letters and digits: orders, serial numbers, plates, models, postal codes.

use super::{Rule, RuleMatch};
use crate::text::numbers::{cardinal, digits, number, parse, plural};

/// Rules for codes. Measures such as `5kg` begin with a digit and are none.
pub(super) const RULES: &[Rule] = &[
    // Keys of a telephone: `press #`, `dial *67`.
    (r"\*([0-9]{2,4})(#?)", dialled),
    (r"[#*]", key),
    // Results of tests and groups of blood, and ions: `HIV-`, `O-`, `HCO3-`.
    (
        r"\b(?:(HIV|HBV|HCV|HPV|EBV|CMV|ER|PR|HER2|Rh|AB|O|(?:[Tt]ype|[Gg]roup|[Bb]lood is) [AB])|(HCO3|NO3|Cl|OH))-",
        negative,
    ),
    // A group of atoms: `Ca(OH)2`.
    (r"([A-Za-z0-9])\(([A-Z][A-Za-z]{1,3}[0-9]?)\)([0-9]{0,2})", |found| {
        let count = found.get(3);
        let group = !count.is_empty() || found.get(2).bytes().all(|letter| letter.is_ascii_uppercase());
        let count = if count.is_empty() { String::new() } else { format!(" {}", figures(count)) };
        group.then(|| found.before_letters(&format!("{} {}{count}", found.get(1), found.get(2))))
    }),
    // An arrow in place of `to`.
    (r" ?--?> ?", arrow),
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
    (r"\b[0-9a-f]{7,40}\b", digest),
    (r"\b[0-9A-Z]{10,}\b", |found| (changes(found.get(0)) > 1 && joins(found)).then(|| code(found.get(0)))),
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

/// Reads an arrow between two words: `2 -> 3`, `Paris->London`. In `p->next` it joins names.
fn arrow(found: &RuleMatch<'_>) -> Option<String> {
    let (left, right) = (found.get(0).starts_with(' '), found.get(0).ends_with(' '));
    let name = super::last_word(found.head).starts_with(char::is_uppercase);
    let behind = |next: char| {
        if left { next.is_alphanumeric() } else { next.is_ascii_digit() || name && next.is_uppercase() }
    };
    let before = found.head.ends_with(|last: char| last.is_alphanumeric() || ")]".contains(last));
    (left == right && before && found.rest.starts_with(behind)).then(|| " to ".into())
}

/// Reads a key of a telephone by itself, behind a word that tells of one or before it.
fn key(found: &RuleMatch<'_>) -> Option<String> {
    const BEFORE: &str = "press presses pressed pressing dial hit push tap enter type then by";
    const AFTER: [&str; 5] = ["key", "sign", "symbol", "button", "character"];
    let quotes = |mark: char| " \"'(".contains(mark);
    let head = found.head.trim_end_matches(quotes);
    let word = super::last_word(head);
    let other =
        head.strip_suffix("or").or(head.strip_suffix("and")).map(|other| other.trim_end_matches([' ', '"', '\'', ',']));
    let second = other.is_some_and(|other| other.ends_with(|last: char| "#*".contains(last) || last.is_ascii_digit()));
    let free = found.before().is_none_or(|before| quotes(before) || before == '\n')
        && found.after().is_none_or(|after| after.is_whitespace() || "\"'),.;:!?".contains(after));
    let behind = found.rest.trim_start_matches(['"', '\'', ' ']);
    let named = AFTER.iter().any(|name| behind.starts_with(name));
    let told = BEFORE.split(' ').any(|told| told.eq_ignore_ascii_case(word));
    let name = if found.get(0) == "#" { "pound" } else { "star" };
    (free && (told || second || named)).then(|| name.to_owned())
}

/// Reads a code that is dialled: `*67`. Elsewhere the star is the mark of a footnote.
fn dialled(found: &RuleMatch<'_>) -> Option<String> {
    const BEFORE: &str = "dial dials dialed dialing press hit enter call use using type then or and code with via";
    let word = super::last_word(found.head.trim_end_matches([' ', '"', '\'']));
    let told = BEFORE.split(' ').any(|told| told.eq_ignore_ascii_case(word));
    let free = found.before().is_none_or(|before| " \"'".contains(before))
        && !found.after().is_some_and(|after| after.is_alphanumeric() || "*/^".contains(after))
        && !super::goes_on(found.rest);
    let end = if found.get(2).is_empty() { "" } else { " pound" };
    (told && free).then(|| format!("star {}{end}", digits(found.get(1))))
}

/// Reads the minus behind a test, a group of blood or an ion. In `HIV- and HCV-positive` the hyphen
/// stands for a word that comes later.
fn negative(found: &RuleMatch<'_>) -> Option<String> {
    let free = found.before().is_none_or(|before| before.is_whitespace() || "(\"'".contains(before))
        && found.after().is_none_or(|after| after.is_whitespace() || "\"'),.;:!?".contains(after));
    let chained = [" and ", " or ", " to ", ", "].iter().any(|joint| found.rest.starts_with(joint));
    let clause = found.rest.split(['.', ';', ':', '!', '?']).next().unwrap_or_default();
    let inner = |word: &str| word.split_once('-').is_some_and(|(_, tail)| tail.starts_with(char::is_alphabetic));
    let suspended = chained && clause.split_whitespace().take(4).any(inner);
    let sign = if found.get(1).is_empty() { "minus" } else { "negative" };
    (free && !suspended).then(|| format!("{}{} {sign}", found.get(1), found.get(2)))
}

/// Returns the number of changes between letters and digits.
fn changes(text: &str) -> usize {
    text.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count()
}

/// Reads the digest of a commit. `12345e10` is a number.
fn digest(found: &RuleMatch<'_>) -> Option<String> {
    let text = found.get(0);
    let told = ["commit", "hash", "revision", "sha"].contains(&found.word_before().to_lowercase().as_str());
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let number = letters == 1 && text.contains('e');
    (changes(text) > if told { 0 } else { 1 } && !number && joins(found)).then(|| spelled_code(text))
}

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
