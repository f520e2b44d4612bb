//! Rules for all numbers except dates, times, measures and sums of money: ranges, ordinals,
//! fractions and the rest.

use super::context::is_sign;
use super::operators::{in_equation, is_formula};
use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{cardinal, decimal, number, ordinal, pair, parse, part, plural, whole};

/// Rules for the numbers of models, which are no ranges.
pub(super) const MODELS: &[Rule] = &[
    (r"\b50[-–/]50\b", |_| Some("fifty-fifty".into())),
    // Models are read in pairs: `Boeing 737`.
    (r"\b(Boeing|Airbus|Porsche|Peugeot|Flight) ([1-9])([0-9]{2})(?:-([0-9]{1,3}))?\b", |found| {
        let rest = if found.get(3) == "00" { "hundred".into() } else { pair(parse(found.get(3))?) };
        let series = if found.get(4).is_empty() { String::new() } else { format!(" {}", whole(found.get(4))) };
        Some(format!("{} {} {rest}{series}", found.get(1), whole(found.get(2))))
    }),
];

/// Rules for ranges, and for the sign of a number.
pub(super) const RANGES: &[Rule] = &[
    // A mixed number.
    (r"\b([0-9]{1,3})-([1-9][0-9]?)/([2-9]|10|16|32|64)\b", |found| {
        let less = parse(found.get(2))? < parse(found.get(3))?;
        let free = !found.before().is_some_and(|before| "/.,-".contains(before))
            && found.after() != Some('/')
            && found.after() != Some('-');
        (less && free).then(|| format!("{} {}/{}", found.get(1), found.get(2), found.get(3)))
    }),
    // `1998--2001`, as in LaTeX.
    (r"\b([0-9]+)--([0-9]+)\b", |found| {
        let free = found.token_before().is_empty() && !goes_on(found.rest);
        (free && parse(found.get(1))? < parse(found.get(2))?).then(|| format!("{} to {}", found.get(1), found.get(2)))
    }),
    (r"([0-9](?: ?[%$€£¥¢‰°])?)(?:-| ?– ?)([$€£¥]?[0-9])", range),
    // A hyphen between blanks is a range if the second number is greater, else a dash.
    (r"\b([0-9]+)(%?) - ([0-9]+)\b", |found| {
        let (low, high) = (parse(found.get(1))?, parse(found.get(3))?);
        let free = !goes_on(found.rest)
            && found.token_before().is_empty()
            && !found.before().is_some_and(|before| ".,".contains(before));
        (free && low < high).then(|| format!("{}{} to {}", found.get(1), found.get(2), found.get(3)))
    }),
    (r"-([$€£¥₹]?\.?[0-9]|∞|\p{Greek})", |found| {
        let word = found.get(1).starts_with(char::is_alphabetic) && found.after().is_some_and(char::is_alphanumeric);
        (is_sign(found.head) && !word).then(|| format!(" minus {}", found.get(1)))
    }),
    // Letters that stand for numbers. Behind a blank they can also be flags of a command: `ls -l`.
    (r"-([A-Za-z])\b", |found| {
        const BEFORE: [&str; 9] = ["is", "be", "equals", "of", "to", "from", "by", "than", "gives"];
        let number = ["x", "y", "z"].contains(&found.get(1))
            && (BEFORE.contains(&found.previous_word()) || found.head.ends_with(['(', '|', ',']));
        let joined = found.head.ends_with(['=', '^', '<', '>', '{', '[']);
        let more =
            found.rest.starts_with(['-', '\'', '=', ':', '.']) && found.rest.len() > 1 && !found.rest.starts_with(". ");
        let sure = number || joined || (is_sign(found.head) && in_equation(found));
        (sure && is_sign(found.head) && !more).then(|| format!(" minus {}", found.get(1)))
    }),
    (r"-\(([A-Za-z0-9.+*/^× -]{1,32})\)", |found| {
        let sum = found.get(1).contains(['+', '-', '*', '/', '^', '×']);
        (is_formula(found.get(1)) && sum && is_sign(found.head)).then(|| format!(" minus ({})", found.get(1)))
    }),
    // A dash that touches a number from the left only; `5 –7` is a range.
    (r"–([$€£¥₹]?\.?[0-9])", |found| {
        let range = found.head.trim_end().ends_with(|last: char| last.is_ascii_digit());
        let line = found.before() == Some('\n');
        (is_sign(found.head) && !range && !line).then(|| format!(" minus {}", found.get(1)))
    }),
];

/// Rules for all remaining numbers.
pub(super) const NUMBERS: &[Rule] = &[
    (r"\b([0-9]+(?:,[0-9]{3})*) ?/ ?([0-9]+)(rds?|ths?|nds?|sts?)\b", |found| {
        let parts = part(parse(found.get(1))?, parse(found.get(2))?)?;
        // `cut into 1/8ths`.
        let many = found.get(1) == "1" && found.get(3).ends_with('s');
        Some(if many { format!("{}s", parts.strip_prefix("one ")?) } else { parts })
    }),
    (r"\b([0-9]+(?:,[0-9]{3})*)(?i:st|nd|rd|th)\b", |found| Some(ordinal(parse(found.get(1))?))),
    (r"\b(1[0,]*0)s of\b", |found| {
        let words = match parse(found.get(1))? {
            10 => "tens",
            100 => "hundreds",
            1_000 => "thousands",
            10_000 => "tens of thousands",
            100_000 => "hundreds of thousands",
            1_000_000 => "millions",
            _ => return None,
        };
        Some(format!("{words} of"))
    }),
    (r"([0-9]) ?pct\b\.?", |found| Some(format!("{} percent", found.get(1)))),
    (r"\b([0-9]{2})ers\b", |found| {
        let words = number(found.get(1));
        Some(format!("{}ers", words.strip_suffix('e').unwrap_or(&words)))
    }),
    (r"\b(4|7|10|14|21)([28468][0-9])p\b", |found| {
        Some(format!("{} {} p", number(found.get(1)), number(found.get(2))))
    }),
    (r"\b([0-9]+0)'?s\b", |found| Some(plural(&number(found.get(1))))),
    (r"\b([0-9]+)'?s\b", |found| Some(format!("{}s", number(found.get(1)).replace("six", "sixe")))),
    (r"\b([0-9]\.[0-9])/(5|10)\b", |found| {
        let free = !found.before().is_some_and(|before| "/.-".contains(before)) && !goes_on(found.rest);
        free.then(|| format!("{} out of {}", found.get(1), whole(found.get(2))))
    }),
    (r"\b([0-9]{1,4})/([0-9]{1,7})\b", fraction),
    (r"([0-9]+(?:\.[0-9]+)?)[x×]\b", |found| {
        const AFTER: &[&str] = &[
            "faster", "slower", "more", "less", "fewer", "bigger", "larger", "smaller", "better", "worse", "higher",
            "lower", "longer", "shorter", "cheaper", "stronger", "the", "as", "return", "speed", "zoom", "a", "per",
            "daily", "weekly",
        ];
        AFTER.contains(&found.next_word()).then(|| found.apart(&format!("{} times", found.get(1))))
    }),
    (r"([0-9]+(?:\.[0-9]+)?)(k|K|m|M|B|bn|mn|tn) ?(\+?) ([a-z]+)", scaled),
    (r"(\.[0-9]+)([kKMB])\b|([0-9]) ?([bmt]n)\b", |found| {
        let (number, letter) = (found.get(1).to_owned() + found.get(3), found.get(2).to_owned() + found.get(4));
        let free = found.token_before().is_empty();
        free.then(|| format!("{number} {}", super::currencies::scale(&letter)))
    }),
    (r"[0-9]+(?:\.[0-9]+){2,}", |found| {
        let parts: Vec<_> = found.get(0).split('.').map(whole).collect();
        Some(found.apart(&parts.join(" point ")))
    }),
    (r"([0-9]+(?:,[0-9]{3})*)?\.([0-9]+)", |found| {
        let whole_part = found.get(1);
        let free = !whole_part.is_empty() || found.before().is_none_or(char::is_whitespace);
        free.then(|| found.apart(&decimal(whole_part, found.get(2))))
    }),
    (r"[0-9]+(?:,[0-9]{3})*", |found| {
        let text = found.get(0);
        let words = if counts(found) { whole(text) } else { number(text) };
        Some(found.apart(&words))
    }),
];

/// Reads a range. In a code, such as `A1-2345`, the hyphen is none.
fn range(found: &RuleMatch<'_>) -> Option<String> {
    let code = found.token_before();
    let hyphen = found.get(0).contains('-');
    let lettered = code.ends_with(char::is_alphanumeric) && hyphen;
    let number = found.rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let suffix = hyphen && number.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_uppercase));
    // The release of a version: `2.39-1`.
    let low = &found.head[found.head.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len()..];
    let high = &found.rest[..found.rest.len() - number.len()];
    let release = hyphen
        && low.contains('.')
        && high.is_empty()
        && !number.starts_with(['.', '%'])
        && found.get(0).len() == 3
        && {
            let low: f64 = format!("{low}{}", &found.get(0)[..1]).parse().unwrap_or(f64::MAX);
            low > f64::from(found.get(2).parse::<u8>().unwrap_or(u8::MAX))
        };
    let padded = hyphen && found.get(2) == "0" && !high.is_empty() && !high.starts_with('.');
    (!lettered && !suffix && !release && !padded).then(|| format!("{} to {}", found.get(1), found.get(2)))
}

/// Returns true if four digits count the things behind them, so that they are no year: `1250
/// people`, but not `in 1999 people`.
fn counts(found: &RuleMatch<'_>) -> bool {
    const YEARS: &[&str] = &[
        "at",
        "in",
        "since",
        "from",
        "by",
        "until",
        "till",
        "before",
        "after",
        "around",
        "circa",
        "during",
        "year",
        "the",
        "to",
        "and",
        "late",
        "early",
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    const NOT_PLURAL: &[&str] = &[
        "was", "is", "has", "this", "as", "its", "us", "thus", "always", "does", "perhaps", "plus", "versus", "minus",
        "equals", "times",
    ];
    let next = found.next_word();
    let plural = (next.ends_with('s') && !next.ends_with("ss") && !NOT_PLURAL.contains(&next) && next.len() > 2)
        || ["people", "feet", "men", "women", "children", "percent", "square", "cubic"].contains(&next);
    let year = found.head.ends_with([',', '\''])
        || YEARS.contains(&found.previous_word().to_lowercase().as_str())
        || found.head.ends_with(", ");
    found.rest.starts_with(' ') && next.starts_with(char::is_lowercase) && plural && !year
}

/// Things with the resolution of a screen.
const SCREENS: &str = "monitors cameras screens displays videos televisions movies films streams projectors panels \
    sensors channels webcams clips resolutions shots";

/// Things and people that are counted in millions.
const COUNTED: &str = "people men women children users followers subscribers customers clients members voters citizens \
    residents viewers readers listeners players fans visitors passengers travelers refugees workers students jobs \
    households homes barrels dollars euros pounds tonnes copies units views downloads streams shares tweets posts \
    accounts requests records rows files tokens parameters vehicles cars trees deaths cases doses votes adults";

/// Returns true for people and things that are counted in millions, so that `m` is no meter.
pub(super) fn is_counted(noun: &str) -> bool {
    COUNTED.split_whitespace().any(|thing| thing == noun)
}

/// Reads thousands, millions and billions of things: `10k people`, `5M users`, `2.5bn views`.
/// `5k run` and `7B model` keep their letter.
fn scaled(found: &RuleMatch<'_>) -> Option<String> {
    let (scale, noun) = (super::currencies::scale(found.get(2)), found.get(4));
    let thing =
        (noun.ends_with('s') && !["is", "was", "has", "as", "us", "its", "this"].contains(&noun)) || noun == "people";
    let known = is_counted(noun);
    let sure = match (found.get(1), found.get(2)) {
        // Meters, and a company.
        (_, "m") | ("3", "M") => known,
        // Names of the sizes of screens.
        ("2" | "4" | "5" | "8", "K") => thing && !SCREENS.split_whitespace().any(|screen| screen == noun),
        (_, scale) => thing || scale.len() == 2,
    };
    let free = found.token_before().is_empty();
    (sure && free)
        .then(|| format!("{} {scale}{} {noun}", found.get(1), if found.get(3).is_empty() { "" } else { " plus" }))
}

/// Reads halves, thirds and other common fractions. Other numbers around a slash are dates, scores
/// and hours.
fn fraction(found: &RuleMatch<'_>) -> Option<String> {
    if [found.before(), found.after()].contains(&Some('/')) || found.before() == Some('.') {
        return None;
    }
    let (top, bottom) = (parse(found.get(1))?, parse(found.get(2))?);
    let mixed =
        found.head.strip_suffix([' ', '-']).is_some_and(|head| head.ends_with(|digit: char| digit.is_ascii_digit()));
    let pressure = (70..260).contains(&top) && (40..160).contains(&bottom) && top > bottom;
    let said = found.previous_word().to_lowercase();
    let odds = found.head.ends_with("odds ") || found.head.ends_with("odds are ") || found.head.ends_with("odds of ");
    // `12/25` and `50/60` are other things than fractions, more often than not.
    let usual = top == 1 || found.rest.starts_with(" of") || ![15, 20, 24, 25, 30, 40, 50, 60, 128].contains(&bottom);
    Some(match part(top, bottom).filter(|_| usual) {
        None if top == bottom && [5, 10, 100].contains(&top) => {
            format!("{} out of {}", cardinal(top), cardinal(bottom))
        }
        _ if odds => format!("{} to {}", cardinal(top), cardinal(bottom)),
        None if ["of", "equals", "approximately", "times"].contains(&said.as_str())
            && (3..10).contains(&bottom)
            && top > bottom =>
        {
            format!("{} {}s", cardinal(top), ordinal(bottom).replace("fourth", "quarter"))
        }
        _ if [(9, 11), (7, 11), (24, 7), (50, 50), (20, 20), (60, 40), (80, 20)].contains(&(top, bottom)) => {
            format!("{} {}", cardinal(top), cardinal(bottom))
        }
        _ if rated(found) && (bottom == 5 || bottom == 10 || bottom == 100) => {
            format!("{} out of {}", cardinal(top), cardinal(bottom))
        }
        Some(words) if mixed => format!("and {words}"),
        Some(words) => words,
        None if pressure => format!("{} over {}", cardinal(top), cardinal(bottom)),
        None => format!("{} slash {}", number(found.get(1)), number(found.get(2))),
    })
}

/// Returns true if the word before a fraction tells that it is a mark: `rated 8/10`.
fn rated(found: &RuleMatch<'_>) -> bool {
    const CUES: [&str; 12] =
        ["rated", "rate", "rating", "score", "scored", "scoring", "solid", "gave", "give", "got", "it", "perfect"];
    CUES.contains(&found.previous_word().to_lowercase().as_str())
}
