//! Rules for dates, and for the short names of months and days.

use super::{Rule, RuleMatch, begins_sentence, goes_on, units};
use crate::text::numbers::{MONTHS, month, number, ordinal, pair, parse, part, weekday};

/// Rules for dates in figures. They come before ranges, rows of digits and fractions.
pub(super) const RULES: &[Rule] = &[
    // Ranges of dates, of years and of quarters.
    (
        concat!(
            r"([0-9]/[0-9]{2,4}|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]\.[0-9]{4})(?: - | ?[–—] ?)",
            r"([0-9]{1,2}[/.][0-9]{1,2}[/.]|[0-9]{4}-[0-9]{2}-)"
        ),
        |found| Some(format!("{} to {}", found.get(1), found.get(2))),
    ),
    (
        concat!(
            r"\b([A-Z][a-z]{2,8}\.?|[A-Z][a-z]{2,8}\.? [0-9]{1,2}|[12][0-9]{3}) ?(?:–|—| - ) ?",
            r"(?:([A-Z][a-z]{2,8})\b|([0-9]{1,2}) ([A-Z][a-z]{2,8})\b)"
        ),
        |found| {
            let left = found.get(1);
            let dated = left.starts_with(|digit: char| digit.is_ascii_digit())
                || month(left.split(' ').next()?.trim_end_matches('.')).is_some();
            let name = if found.get(2).is_empty() { found.get(4) } else { found.get(2) };
            let bare = left.ends_with(char::is_alphabetic) && !found.get(2).is_empty();
            (dated && !bare && month(name).is_some()).then(|| {
                format!(
                    "{left} to {}{}{}",
                    found.get(2),
                    found.get(3),
                    if found.get(4).is_empty() { String::new() } else { format!(" {}", found.get(4)) }
                )
            })
        },
    ),
    (r"\b([12][0-9]{3}) ?[-–—] ?(the present|present|now|today)\b", |found| {
        Some(format!("{} to {}", found.get(1), found.get(2)))
    }),
    (
        concat!(
            r"\b([QH][1-4]|[0-9]+0'?s|[0-9]+(?:st|nd|rd|th)) ?[-–] ?",
            r"'?(Q?[1-4]\b|H[12]\b|[0-9]+0'?s\b|[0-9]+(?:st|nd|rd|th)\b)"
        ),
        |found| {
            let quarter = found.get(1).starts_with(['Q', 'H']);
            let same = quarter == found.get(2).starts_with(['Q', 'H']) || (quarter && found.get(2).len() == 1);
            same.then(|| format!("{} to {}", found.get(1), found.get(2)))
        },
    ),
    (r"\b(BCE?|CE|AD) ?[-–] ?((?:AD )?[0-9])", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
    (r"\b([QH][1-4])'([0-9]{2})\b", |found| Some(format!("{} {}", found.get(1), pair(parse(found.get(2))?)))),
    // `2024-05` is a month, `2004-05` a range of years.
    (r"\b((?:19|20)([0-9]{2}))-(0[1-9]|1[0-2])\b", |found| {
        let earlier = parse(found.get(3))? < parse(found.get(2))?;
        (earlier && free(found)).then(|| Some(format!("{} {}", month_at(found.get(3))?, found.get(1))))?
    }),
    (
        r"\b(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEPT?|OCT|NOV|DEC|[A-Z]{3,7}(?:UARY|IL|E|Y|UST|BER))\b\.? ([0-9])",
        |found| Some(format!("{} {}", month(found.get(1))?, found.get(2))),
    ),
    (r"\bM ?[-–] ?F\b( |: )([0-9])", |found| Some(format!("Monday to Friday{}{}", found.get(1), found.get(2)))),
    // In figures.
    (r"\b([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}:[0-9]{2})(?::[0-9]{2}(?:\.[0-9]+)?)?(Z\b)?", |found| {
        let day = date(found.get(1), found.get(2), found.get(3))?;
        Some(format!("{day} at {}{}", found.get(4), if found.get(5).is_empty() { "" } else { " UTC" }))
    }),
    (r"\b([0-9]{4})([-/.])([0-9]{1,2})([-/.])([0-9]{1,2})\b", year_first),
    (r"\b([0-9]{1,2})([-/.])([0-9]{1,2})([-/.])([0-9]{4}|[0-9]{2})\b", year_last),
    (r"\b([0-9]{1,2})[-/]([A-Za-z]{3,4})[-/]([0-9]{4}|[0-9]{2})\b", |found| {
        let name = month(found.get(2))?;
        Some(format!("{name} {}, {}", day(found.get(1))?, whole_year(found.get(3))))
    }),
    (r"\b(?i:(expires|expiry|exp\.?|expiration|thru|before)),? (0[1-9]|1[0-2])/([2-9][0-9])\b", |found| {
        Some(format!("{} {} {}", found.get(1), month_at(found.get(2))?, number(&format!("20{}", found.get(3)))))
    }),
    (r"\b(0[1-9]|1[0-2])/((?:19|20)[0-9]{2})\b", |found| {
        free(found).then(|| Some(format!("{} {}", month_at(found.get(1))?, found.get(2))))?
    }),
    (
        concat!(
            r"\b(?i:(on|by|since|until|till|from|between|due|dated|before|after|starting|through|ooo|pto|",
            r"vacation|mon|tues?|wed|thu|thurs|fri|sat|sun|[a-z]+day)),? ([0-9]{1,2})/([0-9]{1,2})\b",
            r"(?:( to | and | through |-| ?– ?)([0-9]{1,2})/([0-9]{1,2})\b)?"
        ),
        after_cue,
    ),
    // Names of months and days, with a range between them.
    (r"\b([A-Z][a-z]{2,8})\.?( ?[-–—] ?| to | thru | through )([A-Z][a-z]{2,8})\b(\.?)", names),
    (
        r"\b([0-9]{1,2})(?:st|nd|rd|th)?(?:-| ?– ?| to )([0-9]{1,2})(?:st|nd|rd|th)?(?: of)? ([A-Z][a-z]{2,8})\b(\.?)",
        |found| {
            let name = month(found.get(3))?;
            let (first, last) = (day(found.get(1))?, day(found.get(2))?);
            let period = if found.get(3) == name { found.get(4) } else { found.period() };
            let lead = if found.head.ends_with("the ") || found.head.ends_with("The ") { "" } else { "the " };
            free(found).then(|| format!("{lead}{first} to the {last} of {name}{period}"))
        },
    ),
    (r"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Weds?|Thu(?:rs?)?|Fri|Sat|Sun)\b(\.?)", short_name),
    (r"\b(the )?([0-9]{1,2})(st|nd|rd|th)?( of)? ([A-Z][a-z]{2,8})\b(\.?)", day_month),
    (
        concat!(
            r"\b([A-Z][a-z]+) ([0-9]{1,2})(?:st|nd|rd|th)?",
            r"((?:-| ?– ?| - )(?:([A-Z][a-z]+) )?([0-9]{1,2})(?:st|nd|rd|th)?)?\b"
        ),
        month_day,
    ),
    // Years.
    (r"(^|[ (])'([0-9]{2})\b", |found| {
        let plural =
            found.rest.starts_with(['s', '\'', '"']) || found.rest.starts_with(|next: char| next.is_ascii_digit());
        (!plural).then(|| Some(format!("{}{}", found.get(1), pair(parse(found.get(2))?))))?
    }),
    (r"\bc(?:a|irca)?\. ?([0-9]{3,4})\b", |found| Some(format!("circa {}", found.get(1)))),
    (r"\b((?:1[1-9]|20)[0-9]{2})([/–-])([0-9]{2})\b", |found| {
        let (first, second) = (parse(&found.get(1)[2..])?, parse(found.get(3))?);
        let to = if found.get(2) == "/" { "" } else { "to " };
        (second == (first + 1) % 100 && free(found)).then(|| format!("{} {to}{}", number(found.get(1)), pair(second)))
    }),
];

fn day(digits: &str) -> Option<String> {
    parse(digits).filter(|day| (1..=31).contains(day)).map(ordinal)
}

fn month_at(digits: &str) -> Option<&'static str> {
    MONTHS.get(usize::try_from(parse(digits)?).ok()?.checked_sub(1)?).copied()
}

/// Returns the words of a year. Two digits are read as they are, because their century is not known.
fn whole_year(digits: &str) -> String {
    if digits.len() == 2 { parse(digits).map(pair).unwrap_or_default() } else { number(digits) }
}

fn date(year: &str, month: &str, of_month: &str) -> Option<String> {
    Some(format!("{} {}, {}", month_at(month)?, day(of_month)?, whole_year(year)))
}

/// Returns true if the figures are no part of a longer row.
fn free(found: &RuleMatch<'_>) -> bool {
    let joined = found.before().is_some_and(|before| ".,:/-–$€£¥#_".contains(before) || before.is_alphanumeric());
    !joined && !goes_on(found.rest)
}

/// Reads `2025/09/28`. With points, month and day have two digits; else it is a version.
fn year_first(found: &RuleMatch<'_>) -> Option<String> {
    let (sign, padded) = (found.get(2), found.get(3).len() == 2 && found.get(5).len() == 2);
    let year = parse(found.get(1)).filter(|year| (1_000..3_000).contains(year));
    if sign != found.get(4) || (sign == "." && !padded) || !free(found) {
        return None;
    }
    year.and_then(|_| date(found.get(1), found.get(3), found.get(5)))
}

/// Reads `9/28/2025` and `28.09.2025`. With slashes and hyphens the month comes first if it can;
/// with points the day comes first. Years of two digits stand only behind slashes.
fn year_last(found: &RuleMatch<'_>) -> Option<String> {
    let (first, second, year, sign) = (found.get(1), found.get(3), found.get(5), found.get(2));
    if sign != found.get(4) || (sign != "/" && year.len() == 2) || !free(found) {
        return None;
    }
    let (month_first, day_first) = (date(year, first, second), date(year, second, first));
    if sign == "." { day_first.or(month_first) } else { month_first.or(day_first) }
}

/// Reads a month and a day behind a word that asks for a date, as in `due on 9/28`. Common
/// fractions are no dates: `by 1/2`.
fn after_cue(found: &RuleMatch<'_>) -> Option<String> {
    let said = |month: &str, of_month: &str| {
        let fraction = part(parse(month)?, parse(of_month)?).is_some() && ["2", "3", "4", "8"].contains(&of_month);
        let sure = ["on", "due", "dated", "OOO", "ooo", "PTO", "vacation"].contains(&found.get(1))
            || weekday(found.get(1)).is_some();
        if fraction && !sure { None } else { Some(format!("{} {}", month_at(month)?, day(of_month)?)) }
    };
    if goes_on(found.rest)
        || [("24", "7"), ("9", "11")].contains(&(found.get(2), found.get(3)))
        || ["today", "yesterday", "everyday"].contains(&found.get(1))
    {
        return None;
    }
    let cue = weekday(found.get(1)).unwrap_or(found.get(1));
    let first = format!("{cue} {}", said(found.get(2), found.get(3))?);
    if found.get(4).is_empty() {
        return Some(first);
    }
    let to = if found.get(4).starts_with(' ') && found.get(4).len() > 3 { found.get(4) } else { " to " };
    let to = if to.contains('–') { " to " } else { to };
    Some(format!("{first}{to}{}", said(found.get(5), found.get(6))?))
}

/// Reads `Mon–Fri`, `Jan - Mar` and `Monday-Friday`.
fn names(found: &RuleMatch<'_>) -> Option<String> {
    let (first, last) = (found.get(1), found.get(3));
    let full = match (weekday(first), weekday(last), month(first), month(last)) {
        (Some(first), Some(last), ..) | (.., Some(first), Some(last)) => (first, last),
        _ => return None,
    };
    let between = found.get(2);
    if full == (first, last) && between.starts_with(' ') && between.len() > 3 {
        return None;
    }
    let period = if last == full.1 {
        found.get(4)
    } else if found.get(4).is_empty() {
        ""
    } else {
        found.period()
    };
    Some(format!("{} {} {}{period}", full.0, if between.contains("through") { "through" } else { "to" }, full.1))
}

/// Reads `28 Sep`, `the 28 September` and `5th of Nov.`. `5 May be` is no date.
fn day_month(found: &RuleMatch<'_>) -> Option<String> {
    let (the, written, suffix, of) = (found.get(1), found.get(2), found.get(3), found.get(4));
    let name = month(found.get(5))?;
    let day = day(written)?;
    let verb =
        name == "May" && ["be", "not", "have", "also", "need", "well", "I", "we", "you"].contains(&found.next_word());
    if (suffix.is_empty() && of.is_empty() && verb) || !free(found) {
        return None;
    }
    let period = match found.get(6) {
        "" => "",
        dot if found.get(5) == name => dot,
        _ => found.period(),
    };
    let led = !the.is_empty() || !suffix.is_empty() || !found.get(4).is_empty();
    let named = ["Chapter", "Section", "Room", "Page", "Part", "Step", "Day", "Top"].contains(&found.previous_word());
    if named && !led {
        return None;
    }
    match (led, suffix.is_empty() && of.is_empty()) {
        (_, true) if the.is_empty() => Some(format!("the {day} of {name}{period}")),
        (_, true) => Some(format!("{the}{day} of {name}{period}")),
        _ => Some(format!("{the}{day}{of} {name}{period}")),
    }
}

/// Reads the short name of a month or a day if its place in the sentence shows that it is one.
/// `Jan`, `Sun`, `Sat` and `Mar` are other words too, even with a period.
fn short_name(found: &RuleMatch<'_>) -> Option<String> {
    const LEADS: [&str; 17] = [
        "in", "on", "by", "since", "until", "till", "last", "next", "every", "this", "each", "early", "late", "mid",
        "before", "after", "from",
    ];
    let (short, dotted) = (found.get(1), !found.get(2).is_empty());
    let name = weekday(short).or_else(|| month(short))?;
    let is_month = MONTHS.contains(&name);
    let after = found.rest.trim_start_matches([',', ' ', '/']);
    let next = after.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let neighbour = |word: &str| {
        weekday(word).is_some() || (month(word).is_some() && word.starts_with(char::is_uppercase) && word != "May")
    };
    // Two sentences can meet at the period: `in the Sun. Sun. 5`.
    let other_kind = |word: &str| !dotted || weekday(word).is_some() == is_month || found.rest.starts_with([',', '/']);
    let joined = ["and", "or", "&"].iter().any(|join| {
        after.strip_prefix(join).is_some_and(|rest| {
            neighbour(rest.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
        })
    });
    let before = found.head.trim_end_matches([' ', ',', '/', '&', '-']);
    let before = before.strip_suffix(" and").or_else(|| before.strip_suffix(" or")).unwrap_or(before);
    let previous = before.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let figure = after.starts_with(|digit: char| digit.is_ascii_digit())
        || (after.starts_with('\'') && after[1..].starts_with(|digit: char| digit.is_ascii_digit()));
    let count = figure
        && !is_month
        && !dotted
        && !found.rest.starts_with(',')
        && !goes_on(after.trim_start_matches(|d: char| d.is_ascii_digit()));
    let time = after.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim_start();
    let time = ["am", "pm", "a.m", "p.m", ":", "a-", "p-", "-", "–"].iter().any(|mark| time.starts_with(mark));
    let dated = (figure && (time || !(count && short == "Sat")))
        || (neighbour(next) && other_kind(next))
        || joined
        || (neighbour(previous) && before.len() < found.head.len());
    let lead = previous.to_lowercase();
    let led = LEADS.contains(&lead.as_str()) && found.head.ends_with([' ', '-']) && !found.rest.starts_with('\'');
    let led = led
        || (is_month
            && ["the", "The"].contains(&previous)
            && after.starts_with(char::is_lowercase)
            && found.rest.starts_with(' '));
    let led = led
        && match short {
            "Jan" => ["the", "in", "last", "next", "early", "late", "mid", "since"].contains(&lead.as_str()),
            "Sun" | "Sat" => lead != "in" && lead != "from" && lead != "this",
            _ => true,
        };
    let weak = ["Jan", "Mar", "Sun", "Sat"].contains(&short);
    if !(dated || led || (dotted && !weak)) || found.before() == Some('.') {
        return None;
    }
    let period = if dotted { found.period() } else { "" };
    Some(format!("{name}{period}"))
}

/// Reads the days in `May 5`, `May 5-10` and `May 5–June 10`, but not the number in
/// `In May 10,000 came`.
fn month_day(found: &RuleMatch<'_>) -> Option<String> {
    let (month, tail, other_month) = (found.get(1), found.get(3), found.get(4));
    let first = day(found.get(2)).filter(|_| MONTHS.contains(&month))?;
    if !other_month.is_empty() && !MONTHS.contains(&other_month) {
        return Some(format!("{month} {first}{tail}"));
    }
    // `May 5 people enter?`, `March 3 miles`: the month is a verb there.
    let next = found.next_word();
    let verb = begins_sentence(found.head)
        && ["May", "March"].contains(&month)
        && tail.is_empty()
        && ((next.ends_with('s')
            && next.len() > 3
            && found.rest.starts_with(' ')
            && next.starts_with(char::is_lowercase))
            || next == "people");
    let measured = units::name(next).is_some() && next != "in" && found.rest.starts_with(' ');
    if is_amount(found.rest) || verb || measured {
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
