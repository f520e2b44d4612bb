//! Rules for times of day.

use super::{Rule, RuleMatch};
use crate::text::numbers::{cardinal, clock, digits, pair, parse};

/// Rules for zones of time, which come before codes of letters and digits.
pub(super) const ZONES: &[Rule] = &[(r"\b(UTC|GMT) ?([+-])0?([0-9]{1,2})(?::?([0-9]{2}))?\b", |found| {
    let sign = if found.get(2) == "+" { "plus" } else { "minus" };
    let minutes = parse(found.get(4)).filter(|&minutes| minutes > 0).map(|minutes| format!(" {}", pair(minutes)));
    Some(format!("{} {sign} {}{}", found.get(1), cardinal(parse(found.get(3))?), minutes.unwrap_or_default()))
})];

/// Rules for the ends of ranges and for short forms, which come before ranges of numbers.
pub(super) const RANGES: &[Rule] = &[
    (r"([0-9]:[0-9]{2})Z\b", |found| Some(format!("{} Z", found.get(1)))),
    // `9am-5pm`, `9 a.m. – 5 p.m.`, `9a-5p`, `noon-5pm`.
    (r"([0-9] ?[AaPp])([Mm]|\. ?[Mm]\b\.?)? ?(?:-|–|—) ?([0-9]|noon\b|midnight\b)", |found| {
        let half = if found.get(2).is_empty() { "m" } else { found.get(2) };
        let alone = found.before().is_none_or(|before| before.is_ascii_digit() || " (:.".contains(before));
        alone.then(|| format!("{}{half} to {}", found.get(1), found.get(3)))
    }),
    (r"\b(noon|midnight) ?[-–—] ?([0-9])", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
    (r"\b([0-9]{1,2}:[0-5][0-9]) ?([aApP])\b", |found| {
        let part = found.rest.starts_with(['\'', '.', '-']);
        (!part || found.rest.len() == 1).then(|| format!("{} {}M", found.get(1), found.get(2).to_uppercase()))
    }),
    (r"\b(at|to|until|till|by|from|before|after) (1[0-2]|[1-9])([ap])\b", |found| {
        Some(format!("{} {} {}M", found.get(1), found.get(2), found.get(3).to_uppercase()))
    }),
    (r"([0-9]:[0-9]{2}) - ([0-9])", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
    // `at 0900`, `1430 hours`.
    (r"\b(at |by |until |from |to )?([01][0-9]|2[0-4])([0-5][0-9])( hours| hrs?\.?)?\b", military),
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
    (r"\b([0-9]{1,2}):([0-5][0-9])[.]([0-9]{1,3})\b", |found| {
        let minutes = cardinal(parse(found.get(1))?);
        Some(format!("{minutes} {} point {}", pair(parse(found.get(2))?), digits(found.get(3))))
    }),
    // Durations.
    (r"\b([0-9]{1,2}):([0-5][0-9]):([0-5][0-9])\b", duration),
    (r"\b([0-9]{1,2}):00 (mile|pace|left|remaining|to go|on the clock)\b", |found| {
        let one = ["mile", "pace"].contains(&found.get(2));
        let minutes = match (one, parse(found.get(1))?) {
            (true, minutes) => format!("{}-minute", cardinal(minutes)),
            (_, 1) => "one minute".into(),
            (_, minutes) => format!("{} minutes", cardinal(minutes)),
        };
        // `The 3:00 left from here`: a train.
        let ends = found.rest.is_empty() || found.rest.starts_with(['.', ',', ';', '!', '?', ')']);
        let free = one || ends || [" in ", " on ", " and "].iter().any(|next| found.rest.starts_with(next));
        let train = !one && found.previous_word().eq_ignore_ascii_case("the");
        (free && !train && !is_at(found)).then(|| format!("{minutes} {}", found.get(2)))
    }),
    // A scale.
    (r"\b1:([0-9]{1,4}) (scale|model|replica|miniature|mix|mixture|ratio|dilution|odds)", |found| {
        (!is_at(found)).then(|| Some(format!("one to {} {}", cardinal(parse(found.get(1))?), found.get(2))))?
    }),
    (r"\b([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?(?: ([AP]M)\b)?", time),
    // The parts of a code are no ratio: `RHSA-1999:030`.
    (r"\b([0-9]+)(?::[0-9]+(?:,[0-9]{3})*)+\b", |found| {
        let code = !found.token_before().is_empty()
            || found.get(0).split(':').any(|part| part.len() > 1 && part.starts_with('0'));
        Some(found.get(0).replace(':', if code { " " } else { " to " }))
    }),
];

/// Reads four digits as a time on the clock of 24 hours: `0900 hours`. Without a leading zero they
/// are a time only in front of `hrs`.
fn military(found: &RuleMatch<'_>) -> Option<String> {
    let (lead, hours, minutes, unit) = (found.get(1), found.get(2), found.get(3), found.get(4));
    let zero = hours.starts_with('0') && (!lead.is_empty() || !unit.is_empty());
    let joined = found.before().is_some_and(|before| !before.is_whitespace() && before != '(') && lead.is_empty();
    let goes_on = super::goes_on(found.rest) || found.rest.starts_with(" 0");
    if joined || goes_on || !(zero || (!unit.is_empty() && !lead.is_empty())) {
        return None;
    }
    let hours = if hours.starts_with('0') { digits(hours) } else { cardinal(parse(hours)?) };
    let minutes = if minutes == "00" { "hundred".into() } else { pair(parse(minutes)?) };
    Some(format!("{lead}{hours} {minutes}{}", if unit.is_empty() { "" } else { " hours" }))
}

/// Reads hours, minutes and seconds near a word that tells that they are a duration: `the record is
/// 2:00:35`.
fn duration(found: &RuleMatch<'_>) -> Option<String> {
    const WORDS: [&str; 12] = [
        "record",
        "marathon",
        "finish",
        "ran",
        "runtime",
        "duration",
        "lasted",
        "lasts",
        "elapsed",
        "in a time of",
        "won in",
        "length",
    ];
    const CHARACTERS: usize = 60;
    let start = found.head.char_indices().rev().nth(CHARACTERS).map_or(0, |(at, _)| at);
    let near = found.head[start..].rsplit(['.', '\n']).next().unwrap_or_default().to_lowercase();
    let words = near.split(|letter: char| !letter.is_alphanumeric());
    let told = words.clone().any(|word| WORDS.contains(&word)) || near.contains("finish") || near.ends_with("time of ");
    let half = found.rest.trim_start().to_lowercase().starts_with(['a', 'p']) && found.next_word().len() < 3;
    if !told || half || is_at(found) {
        return None;
    }
    let part = |digits: &str, unit: &str| {
        parse(digits)
            .filter(|&number| number > 0)
            .map(|number| format!("{} {unit}{}", cardinal(number), if number == 1 { "" } else { "s" }))
    };
    let parts = [part(found.get(1), "hour"), part(found.get(2), "minute"), part(found.get(3), "second")];
    let words = parts.into_iter().flatten().collect::<Vec<_>>();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Returns true behind `at`, which asks for a time of day, and inside a longer number.
fn is_at(found: &RuleMatch<'_>) -> bool {
    found.previous_word().eq_ignore_ascii_case("at") || found.before().is_some_and(|before| ":.".contains(before))
}

fn with_colon(found: &RuleMatch<'_>) -> Option<String> {
    let hour = parse(found.get(1)).filter(|&hour| hour <= 24)?;
    let part = found.before().is_some_and(|before| ".,:/$€£¥".contains(before));
    (!part).then(|| format!("{hour}:{}{}", found.get(2), found.get(3)))
}

fn time(found: &RuleMatch<'_>) -> Option<String> {
    let (hour, minute) = (parse(found.get(1)).filter(|&hour| hour <= 24)?, parse(found.get(2))?);
    let thousands = found.rest.starts_with(',') && super::goes_on(found.rest);
    let whole = !thousands && !found.after().is_some_and(|after| after.is_ascii_digit() || after == ':');
    whole.then(|| clock(hour, minute, parse(found.get(3)), found.get(4)))
}
