//! Numbers in English words: cardinals, ordinals, years, single digits, times and fractions. No
//! "and" within a number, as in American English.

/// The months, January first.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The days of the week.
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Returns the month of a name or of its first three letters; `Sept` is short too.
pub(super) fn month(word: &str) -> Option<&'static str> {
    let short = word.len() == 3 || word.eq_ignore_ascii_case("sept");
    let is = |name: &str| {
        name.get(..if short { word.len() } else { name.len() }).is_some_and(|name| word.eq_ignore_ascii_case(name))
    };
    MONTHS.into_iter().find(|name| is(name))
}

/// Returns the day of a name or of a usual short form of it, which has a capital.
pub(super) fn weekday(word: &str) -> Option<&'static str> {
    let at = match word {
        "Mon" => 0,
        "Tue" | "Tues" => 1,
        "Wed" | "Weds" => 2,
        "Thu" | "Thur" | "Thurs" => 3,
        "Fri" => 4,
        "Sat" => 5,
        "Sun" => 6,
        _ => return WEEKDAYS.into_iter().find(|&name| name == word),
    };
    Some(WEEKDAYS[at])
}

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Names of the powers of a thousand, each with a leading space.
const GROUPS: [&str; 7] = ["", " thousand", " million", " billion", " trillion", " quadrillion", " quintillion"];
/// Most digits of a number without separators that is read by name; longer ones are read digit by
/// digit.
const MAX_DIGITS: usize = 15;
/// Range of four-digit numbers that are read in pairs. Most are years, and "twelve hundred" of
/// anything is right too.
const YEARS: std::ops::RangeInclusive<u64> = 1_100..=2_099;

/// Parses ASCII digits with thousands separators; `None` if the number has no name here.
pub(super) fn parse(text: &str) -> Option<u64> {
    let plain = text.replace(',', "");
    if plain.len() <= MAX_DIGITS || plain.len() < text.len() { plain.parse().ok() } else { None }
}

/// Returns the words of a whole number: `one hundred five`.
pub(super) fn cardinal(number: u64) -> String {
    if number < 1_000 {
        return below_thousand(number);
    }
    let mut words = Vec::new();
    for (power, name) in GROUPS.iter().enumerate().rev() {
        let group = number / 1_000_u64.pow(power as u32) % 1_000;
        if group > 0 {
            words.push(below_thousand(group) + name);
        }
    }
    words.join(" ")
}

fn below_thousand(number: u64) -> String {
    let (hundreds, rest) = (number / 100, number % 100);
    match (hundreds, rest) {
        (0, rest) => below_hundred(rest),
        (hundreds, 0) => format!("{} hundred", small(hundreds)),
        (hundreds, rest) => format!("{} hundred {}", small(hundreds), below_hundred(rest)),
    }
}

fn below_hundred(number: u64) -> String {
    match (number / 10, number % 10) {
        (0 | 1, _) => small(number).to_owned(),
        (tens, 0) => TENS[tens as usize].to_owned(),
        (tens, ones) => format!("{}-{}", TENS[tens as usize], small(ones)),
    }
}

fn small(number: u64) -> &'static str {
    SMALL[number as usize]
}

/// Returns the words of an ordinal: `twenty-second`.
pub(super) fn ordinal(number: u64) -> String {
    let words = cardinal(number);
    let start = words.rfind([' ', '-']).map_or(0, |at| at + 1);
    let (head, last) = words.split_at(start);
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        tens if tens.ends_with('y') => format!("{}ieth", &tens[..tens.len() - 1]),
        other => format!("{other}th"),
    };
    format!("{head}{last}")
}

/// Returns the words of a year, 1000 to 2099: `nineteen ninety-nine`, `two thousand five`,
/// `twenty twenty-six`.
fn year(year: u64) -> String {
    let (century, rest) = (year / 100, year % 100);
    match (century, rest) {
        (10 | 20, 0..=9) => cardinal(year),
        (_, 0) => format!("{} hundred", below_hundred(century)),
        _ => format!("{} {}", below_hundred(century), pair(rest)),
    }
}

/// Returns the word of each digit: `zero zero seven`.
pub(super) fn digits(text: &str) -> String {
    let words: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(10)).map(|digit| small(digit.into())).collect();
    words.join(" ")
}

/// Returns the words of ASCII digits: `1,000` as a number, `007` and very long ones digit by digit.
pub(super) fn whole(text: &str) -> String {
    let padded = text.len() > 1 && text.starts_with('0');
    match parse(text) {
        Some(number) if !padded => cardinal(number),
        _ => digits(text),
    }
}

/// Returns the words of a decimal number: `three point one four`.
pub(super) fn decimal(whole_part: &str, fraction: &str) -> String {
    let whole_words = if whole_part.is_empty() { String::new() } else { whole(whole_part) + " " };
    format!("{whole_words}point {}", digits(fraction))
}

/// Returns the words of a whole number, with four digits in [`YEARS`] read as a year.
pub(super) fn number(text: &str) -> String {
    match parse(text) {
        Some(number) if text.len() == 4 && YEARS.contains(&number) => year(number),
        _ => whole(text),
    }
}

/// Returns the plural of a round number: `nineties`, `hundreds`.
pub(super) fn plural(words: &str) -> String {
    words.strip_suffix('y').map_or_else(|| format!("{words}s"), |stem| format!("{stem}ies"))
}

/// Returns the words of a time of day, such as `ten thirty AM` or `fourteen oh five`. `half` is
/// `AM`, `PM` or empty.
pub(super) fn clock(hour: u64, minute: u64, second: Option<u64>, half: &str) -> String {
    let hours = cardinal(hour);
    let mut words = match minute {
        0 if !half.is_empty() => hours,
        0 if (1..=12).contains(&hour) => hours + " o'clock",
        0 => hours + " hundred",
        _ => format!("{hours} {}", pair(minute)),
    };
    match second {
        None => {}
        Some(1) => words += " and one second",
        Some(seconds) => words += &format!(" and {} seconds", cardinal(seconds)),
    }
    if half.is_empty() { words } else { format!("{words} {half}") }
}

/// Returns the words of a fraction: `one half`, `three quarters`, `seven sixteenths`; `None` if the
/// number below has no usual name, or the fraction is not less than one.
pub(super) fn part(top: u64, bottom: u64) -> Option<String> {
    let name = match bottom {
        2 => "half".to_owned(),
        100 => "hundredth".into(),
        1_000 => "thousandth".into(),
        1_000_000 => "millionth".into(),
        4 => "quarter".into(),
        3 | 5..=10 | 12 | 15 | 16 | 20 | 24 | 25 | 30 | 32 | 40 | 50 | 60 | 64 | 128 => ordinal(bottom),
        _ => return None,
    };
    let name = match (top, name.as_str()) {
        (1, name) => name.to_owned(),
        (_, "half") => "halves".into(),
        (_, name) => format!("{name}s"),
    };
    (1..bottom).contains(&top).then(|| format!("{} {name}", cardinal(top)))
}

/// Returns the words of a number, given the digits before and behind the point; `part` may be
/// empty.
pub(super) fn amount(units: &str, part: &str) -> String {
    if part.is_empty() { whole(units) } else { decimal(units, part) }
}

/// Returns the words of the two digits of a year or of minutes: `oh five`, `ninety-nine`.
pub(super) fn pair(number: u64) -> String {
    match number {
        0 => "zero zero".into(),
        1..=9 => format!("oh {}", small(number)),
        _ => below_hundred(number),
    }
}
