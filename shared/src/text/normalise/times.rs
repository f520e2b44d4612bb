//! Rules for dates and times of day.

use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{MONTHS, clock, number, ordinal, parse};

/// Rules for dates.
pub(super) const DATES: &[Rule] = &[
    (r"\b([0-9]{4})-([0-9]{2})-([0-9]{2})\b", iso_date),
    (r"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.? ([0-9])", |found| {
        let month = MONTHS.iter().find(|month| month.starts_with(&found.get(1)[..3]))?;
        Some(format!("{month} {}", found.get(2)))
    }),
    (
        r"\b([A-Z][a-z]+) ([0-9]{1,2})(?:st|nd|rd|th)?((?:-| ?– ?)(?:([A-Z][a-z]+) )?([0-9]{1,2})(?:st|nd|rd|th)?)?\b",
        month_day,
    ),
];

/// Rules for times of day, and for other numbers with a colon between them.
pub(super) const CLOCK: &[Rule] = &[
    // A point instead of the colon marks a time only before AM or PM.
    (r"\b([0-9]{1,2})\.([0-5][0-9])( to [0-9]{1,2}[.:][0-5][0-9] ?(?:[AaPp][Mm]|[AaPp]\. ?[Mm])\b)", with_colon),
    (r"\b([0-9]{1,2})\.([0-5][0-9])( ?(?:[AaPp][Mm]|[AaPp]\. ?[Mm])\b)", with_colon),
    (r"([0-9]) ?(?:([AaPp])[Mm]\b|([AaPp])\. ?[Mm]\b\.?)", |found| {
        let letter = if found.get(2).is_empty() { found.get(3) } else { found.get(2) };
        let period = if found.get(0).ends_with('.') { found.period() } else { "" };
        Some(format!("{} {}M{period}", found.get(1), letter.to_uppercase()))
    }),
    (r"\b([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?(?: ([AP]M)\b)?", time),
    (r"\b([0-9]+):([0-9]+)\b", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
];

fn iso_date(found: &RuleMatch<'_>) -> Option<String> {
    let (month, day) = (parse(found.get(2))?, parse(found.get(3))?);
    let name = MONTHS.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    (1..=31).contains(&day).then(|| format!("{name} {}, {}", ordinal(day), number(found.get(1))))
}

/// Reads the days in `May 5`, `May 5-10` and `May 5–June 10`, but not the number in
/// `In May 10,000 came`.
fn month_day(found: &RuleMatch<'_>) -> Option<String> {
    let (month, tail, other_month) = (found.get(1), found.get(3), found.get(4));
    let day = |digits| parse(digits).filter(|day| (1..=31).contains(day)).map(ordinal);
    let first = day(found.get(2)).filter(|_| MONTHS.contains(&month))?;
    if !other_month.is_empty() && !MONTHS.contains(&other_month) {
        return Some(format!("{month} {first}{tail}"));
    }
    if is_amount(found.rest) {
        return None;
    }
    match (tail, other_month) {
        ("", _) => Some(format!("{month} {first}")),
        (_, "") => Some(format!("{month} {first} to {}", day(found.get(5))?)),
        _ => Some(format!("{month} {first} to {other_month} {}", day(found.get(5))?)),
    }
}

/// Returns true if the text behind a number shows that it counts something, so that it is no day.
fn is_amount(rest: &str) -> bool {
    const SCALES: [&str; 6] = ["percent", "hundred", "thousand", "million", "billion", "trillion"];
    let next = rest.trim_start_matches(' ');
    let word = next.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let compound = rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    let sign = rest.starts_with(['°', '$', '€', '£', '¥']) || next.starts_with('%');
    goes_on(rest) || compound || sign || SCALES.contains(&word)
}

fn with_colon(found: &RuleMatch<'_>) -> Option<String> {
    let hour = parse(found.get(1)).filter(|&hour| hour <= 24)?;
    let part = found.before().is_some_and(|before| ".,:/$€£¥".contains(before));
    (!part).then(|| format!("{hour}:{}{}", found.get(2), found.get(3)))
}

fn time(found: &RuleMatch<'_>) -> Option<String> {
    let (hour, minute) = (parse(found.get(1)).filter(|&hour| hour <= 24)?, parse(found.get(2))?);
    let whole = !found.after().is_some_and(|after| after.is_ascii_digit() || after == ':');
    whole.then(|| clock(hour, minute, parse(found.get(3)), found.get(4)))
}
