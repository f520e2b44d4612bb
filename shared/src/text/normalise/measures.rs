//! Rules for measures: numbers with a unit.

use super::units::{name, plural, rate};
use super::{Rule, RuleMatch};

/// Rules for squares and cubes of units, which come before powers of other letters.
pub(super) const POWERS: &[Rule] = &[
    // `5 m^2`, `5 m2`, `5 kg/m^3`. `1 in 3` is none.
    (r"([0-9]) ?([A-Za-zµ]{1,3})(\^?)([23])\b", |found| {
        let spaced = found.get(0).contains(' ') && found.get(3).is_empty() && found.get(2) == "in";
        let known = name(found.get(2)).filter(|name| !name.contains(' ') && LENGTHS.contains(name))?;
        let power = if found.get(4) == "2" { "square" } else { "cubic" };
        let free = found.token_before().is_empty() && !spaced;
        let one = found.is_one(found.get(1));
        let name = if one { known.to_owned() } else { plural(known) };
        free.then(|| found.before_letters(&format!("{} {power} {name}", found.get(1))))
    }),
    (r"(/|per )([A-Za-zµ]{1,3}) ?(?:\^([23])|([23])\b)", |found| {
        let known = name(found.get(2)).filter(|name| LENGTHS.contains(name) || *name == "second")?;
        let power = if found.get(3).is_empty() { found.get(4) } else { found.get(3) };
        let words = match (known, power) {
            ("second", "2") => "second squared".to_owned(),
            ("second", _) => return None,
            (_, "2") => format!("square {known}"),
            _ => format!("cubic {known}"),
        };
        Some(format!("{}{words}", found.get(1).replace('/', " per ")))
    }),
    // Without a number: `area in m^2`.
    (r"\b(in|of|per) ([cdk]?m|mm|ft|mi|yd)\^([23])\b", |found| {
        let power = if found.get(3) == "2" { "square" } else { "cubic" };
        let unit = name(found.get(2))?;
        let words = if found.get(1) == "per" { unit.to_owned() } else { plural(unit) };
        Some(format!("{} {power} {words}", found.get(1)))
    }),
];

const LENGTHS: [&str; 12] = [
    "kilometer",
    "meter",
    "decimeter",
    "centimeter",
    "millimeter",
    "micrometer",
    "nanometer",
    "mile",
    "yard",
    "foot",
    "inch",
    "nautical mile",
];

/// Rules for numbers with one unit.
pub(super) const RULES: &[Rule] = &[
    (
        r"([0-9])(?: ?|-)(sq|cu|fl)\.?[ -]?(ft|feet|foot|m|meters?|mi|miles?|km|yd|yards?|in|inch|inches|cm|oz)\b(\.?)",
        compound,
    ),
    (r"([0-9]) ?(ft[-·. ]lbs?|lbs?[-·. ]ft)\b", |found| {
        let names = if found.get(2).starts_with("ft") { "foot-pounds" } else { "pound-feet" };
        Some(format!("{} {names}", found.get(1)))
    }),
    (r"\b([0-9]{2,3}(?:\.[0-9])?) ?([CF])\b(\.?)", heat),
    (r"([0-9]) ?N[•·*-]m\b", |found| {
        Some(format!("{} {}", found.get(1), counted(found, found.get(1), "newton meter")))
    }),
    // Degrees; the hemisphere goes with them.
    (r"([0-9]) ?[°º] ?([CFK](?-u:\b))?( ?[NSEW](?-u:\b))?", degrees),
    (r"([0-9]) ?[℃℉]", |found| {
        let scale = if found.get(0).ends_with('℃') { "degree Celsius" } else { "degree Fahrenheit" };
        Some(found.before_letters(&format!("{} {}", found.get(1), counted(found, found.get(1), scale))))
    }),
    (r"([0-9])( ?|-)([A-Za-zµμΩ]{1,5})(\.?)(?: ?/ ?(?:(100) ?)?([A-Za-zµμ]{1,10}|°C)\b)?", measure),
    // `units/day`, `kg/day`.
    (r"([a-z]|[0-9])/(day|hour|hr|week|wk|month|mo|year|yr|minute|min|second|sec|person|capita|night)\b", |found| {
        Some(format!("{} {}", found.get(1), rate(found.get(2))?))
    }),
    (r"([0-9]) ?(?:yo|y/o)\b", |found| Some(format!("{}-year-old", found.get(1)))),
    // A number in words: `ten lbs`, `5 million km`.
    (
        concat!(
            r"\b((?i:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|forty|fifty|hundred|",
            r"thousand|million|billion|few|many|several|half)) ([A-Za-z]{2,4})\b(\.?)"
        ),
        |found| {
            let unit = found.get(2);
            let word = [
                "in", "us", "mb", "deg", "bar", "min", "sec", "cal", "gal", "mil", "ms", "pt", "pts", "ha", "ac", "mo",
                "ly", "rad", "ins", "px",
            ]
            .contains(&unit)
                && found.get(3).is_empty();
            let known = name(unit).filter(|_| !word && !["pt", "in", "ha", "us", "bps"].contains(&unit))?;
            let words = if found.get(1).eq_ignore_ascii_case("one") { known.to_owned() } else { plural(known) };
            let period = if found.get(3).is_empty() { "" } else { found.period() };
            Some(format!("{} {words}{period}", found.get(1)))
        },
    ),
];

/// Returns a unit in the number that its count asks for.
pub(super) fn counted(found: &RuleMatch<'_>, number: &str, unit: &str) -> String {
    if found.is_one(number) || number == "01" { unit.to_owned() } else { plural(unit) }
}

/// Returns the words for a letter of the compass.
pub(super) fn side(letter: &str) -> &'static str {
    match letter {
        "N" => " north",
        "S" => " south",
        "E" => " east",
        "W" => " west",
        _ => "",
    }
}

fn compound(found: &RuleMatch<'_>) -> Option<String> {
    let base = match found.get(3) {
        "feet" | "foot" => "foot",
        word => name(word)
            .or_else(|| ["meter", "mile", "yard", "inch"].into_iter().find(|known| word.starts_with(known)))?,
    };
    let kind = match (found.get(2), base) {
        ("fl", "ounce") => "fluid",
        ("sq", base) if base != "ounce" => "square",
        ("cu", base) if base != "ounce" => "cubic",
        _ => return None,
    };
    let period = if found.get(4).is_empty() { "" } else { found.period() };
    if found.is_attribute() || found.get(0)[1..].starts_with('-') {
        return Some(format!("{}-{kind}-{base}{period}", found.get(1)));
    }
    Some(found.before_letters(&format!(
        "{} {}{period}",
        found.get(1),
        counted(found, found.get(1), &format!("{kind} {base}"))
    )))
}

fn degrees(found: &RuleMatch<'_>) -> Option<String> {
    let scale = match found.get(2) {
        "C" => "degree Celsius",
        "F" => "degree Fahrenheit",
        "K" => "degree Kelvin",
        _ => "degree",
    };
    if found.is_attribute() && found.get(2).is_empty() && found.get(3).is_empty() {
        return Some(format!("{}-degree", found.get(1)));
    }
    let words = format!("{} {}{}", found.get(1), counted(found, found.get(1), scale), side(found.get(3).trim_start()));
    Some(found.before_letters(&words))
}

/// Reads `350F` and `180C` near a word that speaks about heat. Elsewhere they are seats and rooms.
fn heat(found: &RuleMatch<'_>) -> Option<String> {
    const WORDS: [&str; 17] = [
        "bake",
        "oven",
        "heat",
        "temperature",
        "cook",
        "roast",
        "degree",
        "hot",
        "cold",
        "warm",
        "freez",
        "melt",
        "boil",
        "fever",
        "weather",
        "cool",
        "outside",
    ];
    let noun = found.get(0).contains(' ')
        && found.rest.starts_with(' ')
        && !FUNCTIONS.split_whitespace().any(|word| word == found.next_word());
    if is_place(found) || noun {
        return None;
    }
    let scale = if found.get(2) == "C" { "Celsius" } else { "Fahrenheit" };
    let near = around(found);
    WORDS.iter().any(|word| near.contains(word)).then(|| {
        let period = if found.get(3).is_empty() { "" } else { found.period() };
        format!("{} degrees {scale}{period}", found.get(1))
    })
}

/// Reads a number with its unit, and what it is per: `5kg`, `60 km/h`, `8 L/100 km`.
fn measure(found: &RuleMatch<'_>) -> Option<String> {
    let (digit, blank, symbol, dot, per) = (found.get(1), found.get(2), found.get(3), found.get(4), found.get(6));
    // In the words of an address.
    let spelled = [" dot ", " dash ", " slash "]
        .iter()
        .any(|word| found.rest.starts_with(word) || found.before_number().ends_with(word));
    if !found.token_before().is_empty() || found.after().is_some_and(char::is_alphanumeric) || spelled {
        return None;
    }
    let dotted = !dot.is_empty();
    // `5W-30`, `10 t-tests`, `4 L-shaped`; `2 V6 engines`, whose digit is a word already.
    let code = found.rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    let engine =
        ["V", "W", "L", "A", "N"].contains(&symbol) && blank == " " && dot.is_empty() && is_digit(found.next_word());
    if symbol.len() == 1 && per.is_empty() && dot.is_empty() && (code || engine) {
        return None;
    }
    if symbol == "bps" && per.is_empty() {
        return basis_points(found);
    }
    let known = name(symbol).filter(|_| sure(found, symbol, blank, dotted))?;
    let rated =
        if per.is_empty() { None } else { rate(per).or_else(|| (per == "°C").then(|| "per degree Celsius".into())) };
    if !per.is_empty() && rated.is_none() {
        let slashed = &found.get(0)[digit.len() + blank.len() + symbol.len()..];
        return Some(format!("{digit} {}{slashed}", counted(found, digit, known)));
    }
    let share = match (rated, found.get(5)) {
        (None, _) => String::new(),
        (Some(rated), "") => format!(" {rated}"),
        (Some(rated), _) => format!(" per one hundred {}", plural(rated.trim_start_matches("per "))),
    };
    if blank == "-" && share.is_empty() {
        let row = found.rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
        let period = if dotted { found.period() } else { "" };
        return (!row).then(|| format!("{digit}-{}{period}", known.replace(' ', "-")));
    }
    let compass = found
        .rest
        .strip_prefix(' ')
        .is_some_and(|rest| rest.starts_with(['N', 'S', 'E', 'W']) && !rest[1..].starts_with(char::is_alphabetic));
    let period = if compass {
        ""
    } else if dotted && found.get(5).is_empty() && share.is_empty() {
        // Such symbols are written without a period: `12 V. 10 A`.
        let number = found.rest.trim_start().starts_with(|next: char| next.is_ascii_digit());
        if number && symbol.contains(|letter: char| letter.is_ascii_uppercase()) { "." } else { found.period() }
    } else {
        dot
    };
    if found.is_attribute() && !found.get(0).contains('/') {
        return Some(format!("{digit}-{}", known.replace(' ', "-")));
    }
    Some(format!("{digit} {}{share}{period}", counted(found, digit, known)))
}

/// Reads `bps` near words about money; elsewhere it is the speed of a line, near words about that.
fn basis_points(found: &RuleMatch<'_>) -> Option<String> {
    const MONEY: [&str; 14] = [
        "rate",
        "yield",
        "fed",
        "hike",
        "cut",
        "spread",
        "basis",
        "bond",
        "treasur",
        "ecb",
        "margin",
        "inflation",
        "fee",
        "mortgage",
    ];
    const LINES: [&str; 12] = [
        "modem",
        "baud",
        "serial",
        "network",
        "download",
        "upload",
        "bandwidth",
        "kbps",
        "mbps",
        "line",
        "link",
        "data",
    ];
    let near = around(found);
    let about = |words: &[&str]| words.iter().any(|word| near.contains(word));
    let unit = match (about(&MONEY), about(&LINES)) {
        (true, false) => "basis point",
        (false, true) => "bit per second",
        _ => return None,
    };
    Some(format!("{} {}{}", found.get(1), counted(found, found.get(1), unit), found.get(4)))
}

/// Returns true for the words of small numbers.
fn is_digit(word: &str) -> bool {
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "sixteen"].contains(&word)
        || word.starts_with(|digit: char| digit.is_ascii_digit())
}

/// Words before which `in` behind a number is inches.
const SIZES: &str =
    "of tall wide long deep thick high diameter screen display monitor pipe square by x below above apart";
/// Words that end in a code of a number and a letter: `Room 5A`, `Gate 10L`.
const PLACES: &str = "room apt apartment gate seat row unit flat suite building block platform section grade class \
    level chapter exit lane terminal hall wing ward box lot question part step version no number exhibit figure table \
    appendix article form schedule page zone bus route line highway track bay door floor size type vitamin";

/// Returns true if the words around speak about electricity, so that `5A` is a current and no seat.
fn is_electric(found: &RuleMatch<'_>) -> bool {
    const WORDS: [&str; 15] = [
        "volt", "amp", "watt", "fuse", "current", "circuit", "breaker", "charge", "batter", "rated", "plug", "socket",
        "usb", "power", "electric",
    ];
    let near = around(found);
    let volts = near.as_bytes().windows(2).any(|pair| pair[0].is_ascii_digit() && matches!(pair[1], b'v' | b'w'));
    volts
        || WORDS.iter().any(|word| near.contains(word))
        || found.before_number().len() + 1 < found.head.len() && found.head[found.before_number().len()..].contains('.')
}

/// Returns the text around the match in lower case, as far as a sentence may go.
fn around(found: &RuleMatch<'_>) -> String {
    const CHARACTERS: usize = 80;
    let head: String = found.head.chars().rev().take(CHARACTERS).collect::<Vec<_>>().into_iter().rev().collect();
    let rest: String = found.rest.chars().take(CHARACTERS).collect();
    format!("{head} {rest}").to_lowercase()
}

/// Returns true if the word before a number tells that number and letter name a place.
fn is_place(found: &RuleMatch<'_>) -> bool {
    let last = found.word_before_number().to_lowercase();
    PLACES.split_whitespace().any(|place| place == last)
}

/// Returns true if a symbol behind a number is sure to be a unit there.
fn sure(found: &RuleMatch<'_>, symbol: &str, blank: &str, dotted: bool) -> bool {
    let next = found.next_word();
    let alone = found.after().is_none_or(|after| !after.is_whitespace())
        || !next.starts_with(char::is_alphanumeric)
        || FUNCTIONS.split_whitespace().any(|word| word == next);
    let place = is_place(found);
    match symbol {
        "in" => {
            let feet = ["feet ", "foot ", "yards ", "pounds "].iter().any(|unit| found.before_number().ends_with(unit));
            let spread = found.before_number().ends_with(" by ") || found.rest.trim_start().starts_with(['x', '×']);
            dotted
                || feet
                || spread
                || blank == "-"
                || blank.is_empty()
                || SIZES.split_whitespace().any(|word| word == next)
        }
        "us" | "ins" | "deg" | "mb" => blank.is_empty(),
        "pt" => blank.is_empty() || next == "font" || next == "type",
        "ha" => next != "ha",
        "bar" => alone && !place,
        "mo" | "cal" => !place,
        // `b^2 - 4ac`
        "ac" => {
            !place && !["minus", "plus", "equals"].iter().any(|sign| found.before_number().trim_end().ends_with(sign))
        }
        "A" => blank != "-" && !place && (blank != " " || alone) && is_electric(found),
        "V" if dotted && next.starts_with(|next: char| next.is_ascii_digit()) => !place,
        "V" | "W" | "L" => !place && (blank != " " || alone || next.starts_with(char::is_lowercase)),
        "N" | "J" => !place && (blank != " " || alone) && !found.get(0).contains("/ "),
        "s" => !found.rest.starts_with(" of ") && (blank == " " || found.is_seconds()) && !place,
        "m" if blank.is_empty() && super::figures::is_counted(next) => false,
        "t" | "g" | "h" | "l" | "m" => !place && !found.rest.starts_with('\''),
        "MP" => next != "for" && !place,
        _ => true,
    }
}

/// Words that go on after a measure, so that the letter before them is no part of a name.
const FUNCTIONS: &str = "and or of at is are was were to from for with in on by per but not than if when as over \
    through fuse current supply battery motor bulb output input";
