//! Rules for the ways in which nations write a number: thousands by blanks, apostrophes or points,
//! and decimal commas. They become commas and a decimal point.

use super::{Rule, RuleMatch, units};

/// Rules for numbers that are surely written so.
pub(super) const RULES: &[Rule] = &[
    // Blanks that do not break stand only within a number.
    (r"[0-9]{1,3}(?:[\u{a0}\u{2007}\u{2009}\u{202f}][0-9]{3})+(?:,[0-9]{1,2}\b)?", |found| {
        let whole =
            found.before().is_none_or(|before| !before.is_ascii_digit() && before != '\u{a0}' && before != '\u{202f}')
                && !found.rest.starts_with(|next: char| {
                    next.is_ascii_digit()
                        || (!next.is_ascii()
                            && next.is_whitespace()
                            && found.rest[next.len_utf8()..].starts_with(|d: char| d.is_ascii_digit()))
                });
        whole.then(|| found.get(0).replace(',', ".").replace(['\u{a0}', '\u{2007}', '\u{2009}', '\u{202f}'], ","))
    }),
    (r"\b[1-9][0-9]{0,2}(?:'[0-9]{3})+\b", |found| {
        (!found.rest.starts_with('\'')).then(|| found.get(0).replace('\'', ","))
    }),
    (r"\b[1-9][0-9]{0,2}(?: [0-9]{3})+\b(?:,([0-9]{1,2})\b)?", blanks),
    (r"\b[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]{1,2}\b", |found| Some(found.get(0).replace('.', "").replace(',', "."))),
    (r"\b([1-9][0-9]{0,2})\.([0-9]{3}) ?(€|EUR\b|kr\b|zł|Kč)", |found| {
        let more = found.before().is_some_and(|before| before == '.' || before == ',');
        (!more).then(|| format!("{},{} {}", found.get(1), found.get(2), found.get(3)))
    }),
    // Points twice, next to a currency or in front of what is counted; else it is a version.
    (r"\b[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}\b", |found| {
        let money = found.head.trim_end().ends_with(['€', '£', '$', '¥'])
            || found.rest.trim_start().starts_with(['€', '£', '$'])
            || found.head.ends_with("EUR ")
            || found.rest.starts_with(" EUR");
        let next = found.next_word();
        let thing =
            next.ends_with('s') && next.starts_with(char::is_lowercase) && !["is", "was", "has", "as"].contains(&next)
                || next == "people";
        let zeros = found.get(0).split('.').skip(1).all(|group| group == "000");
        (money || thing || zeros).then(|| found.get(0).replace('.', ","))
    }),
    // India: lakh and crore.
    (r"\b[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}\b", |found| {
        let number = found.get(0).replace(',', "");
        (!found.rest.starts_with(",") || found.rest.starts_with(", ")).then_some(number)
    }),
    (r"\b[0-9]+,[0-9]{1,2}\b", comma),
];

/// Reads blanks as thousands if no other number can end or begin there. `Boeing 747 400` and `1 500 mg
/// tablet` are two numbers each; `100 200 300` is a list.
fn blanks(found: &RuleMatch<'_>) -> Option<String> {
    let text = found.get(0).split(',').next().unwrap_or_default();
    let groups: Vec<u32> = text.split(' ').filter_map(|group| group.parse().ok()).collect();
    let beside = found.before().is_some_and(|before| !before.is_whitespace() && !"($€£¥₹-−–+~<>=".contains(before))
        || found.head.trim_end_matches(' ').ends_with(|last: char| last.is_ascii_digit())
        || found.rest.starts_with(|next: char| next == '-' || next.is_alphabetic())
        || found.rest.trim_start_matches(' ').starts_with(|next: char| next.is_ascii_digit());
    let list = groups.len() > 2
        && groups.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == groups[1].checked_sub(groups[0]));
    let last = found.previous_word();
    let named = last.starts_with(char::is_uppercase)
        && !found.head.trim_end().ends_with(['.', '!', '?'])
        && last.len() < found.head.trim_end().len();
    let unit = units::name(found.next_word())
        .is_some_and(|name| ["milligram", "watt", "milliliter", "gram", "gigabyte", "volt"].contains(&name));
    let zeros = text.ends_with(" 000");
    let decimals = !found.get(1).is_empty();
    let sure = zeros || decimals || groups.len() > 2 || !(named || unit);
    if beside || list || !sure {
        return None;
    }
    let whole = text.replace(' ', ",");
    Some(if decimals { format!("{whole}.{}", found.get(1)) } else { whole })
}

/// Reads a decimal comma. It is sure beside a currency or a unit, behind a zero, and if the second
/// number is no later item of a list, as in `pages 3,4`.
fn comma(found: &RuleMatch<'_>) -> Option<String> {
    let (whole, part) = found.get(0).split_once(',')?;
    let listed = found.rest.trim_start().starts_with(|next: char| {
        next == ',' && found.rest[1..].trim_start().starts_with(|d: char| d.is_ascii_digit())
    }) || found.before().is_some_and(|before| ",.:/-'([{".contains(before) || before.is_alphanumeric())
        || found.head.trim_end().ends_with(',')
            && found.head.trim_end_matches([',', ' ']).ends_with(|last: char| last.is_ascii_digit());
    let next = found.rest.trim_start_matches(' ');
    let word = next.split(|letter: char| !(letter.is_alphanumeric() || letter == '°')).next().unwrap_or_default();
    let counted = units::name(word).is_some_and(|_| !["in", "us", "ms"].contains(&word))
        || next.starts_with(['€', '$', '£', '°', '%'])
        || [
            "percent",
            "degrees",
            "million",
            "billion",
            "meters",
            "kilometers",
            "liters",
            "euros",
            "kilos",
            "EUR",
            "kr",
            "CHF",
            "zł",
        ]
        .contains(&word);
    let money = found.head.trim_end_matches(' ').ends_with(['€', '$', '£'])
        || found.head.ends_with("EUR ")
        || found.head.ends_with("CHF ");
    let descends = part.parse::<u64>().ok()? < whole.parse::<u64>().ok()?;
    let sure =
        counted || money || whole == "0" || part.starts_with('0') || (descends && whole.len() > 1 && part.len() == 1);
    let part_of_more = found.before().is_some_and(|before| ",.:/-'([{".contains(before) || before.is_alphanumeric());
    let set = found.rest.starts_with([']', '}']);
    (sure && !set && (!listed || ((counted || money) && !part_of_more))).then(|| format!("{whole}.{part}"))
}
