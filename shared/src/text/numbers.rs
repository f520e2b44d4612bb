//! Numbers in English words: cardinals, ordinals, years, single digits, times, fractions and sums
//! of money. No "and" within a number, as in American English.

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
const GROUPS: [&str; 5] = ["", " thousand", " million", " billion", " trillion"];
/// Most digits of a number that has a name here; longer numbers are read digit by digit.
const MAX_DIGITS: usize = 3 * GROUPS.len();
/// Range of four-digit numbers that are read in pairs. Most are years, and "twelve hundred" of
/// anything is right too.
const YEARS: std::ops::RangeInclusive<u64> = 1_100..=2_099;

/// Parses ASCII digits with thousands separators; `None` if the number has no name here.
pub(super) fn parse(text: &str) -> Option<u64> {
    let plain = text.replace(',', "");
    if plain.len() <= MAX_DIGITS { plain.parse().ok() } else { None }
}

/// Returns the words of a whole number below 10^15: `one hundred five`.
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
        (_, 1..=9) => format!("{} oh {}", below_hundred(century), small(rest)),
        _ => format!("{} {}", below_hundred(century), below_hundred(rest)),
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
        1..=9 => format!("{hours} oh {}", cardinal(minute)),
        _ => format!("{hours} {}", cardinal(minute)),
    };
    match second {
        None => {}
        Some(1) => words += " and one second",
        Some(seconds) => words += &format!(" and {} seconds", cardinal(seconds)),
    }
    if half.is_empty() { words } else { format!("{words} {half}") }
}

/// Returns the words of a common fraction: `one half`, `three quarters`; `None` for any other.
pub(super) fn part(top: u64, bottom: u64) -> Option<String> {
    let name = match bottom {
        2 => "half",
        3 => "third",
        4 => "quarter",
        5 => "fifth",
        8 => "eighth",
        10 => "tenth",
        _ => return None,
    };
    let plural = if top == 1 { "" } else { "s" };
    (1..bottom).contains(&top).then(|| format!("{} {name}{plural}", cardinal(top)))
}

/// Returns the names of a currency: one and many of its units, one and many of their hundredths.
fn currency(sign: &str) -> [&'static str; 4] {
    match sign {
        "$" => ["dollar", "dollars", "cent", "cents"],
        "€" => ["euro", "euros", "cent", "cents"],
        "£" => ["pound", "pounds", "penny", "pence"],
        _ => ["yen", "yen", "sen", "sen"],
    }
}

/// Returns the name of a power of a thousand: `thousand` for `k`.
pub(super) fn scale(written: &str) -> &str {
    match written {
        "k" | "K" => "thousand",
        "m" | "M" => "million",
        "bn" | "B" => "billion",
        named => named,
    }
}

/// Returns the words of a number, given the digits before and behind the point; `part` may be
/// empty.
pub(super) fn amount(units: &str, part: &str) -> String {
    if part.is_empty() { whole(units) } else { decimal(units, part) }
}

/// Returns the name of a bill or coin by its value: `five-dollar`.
pub(super) fn note(sign: &str, units: &str, scale: &str) -> String {
    let [one, ..] = currency(sign);
    format!("{} {scale} {one}", whole(units)).split_whitespace().collect::<Vec<_>>().join("-")
}

/// Returns the words of a sum of money, such as `$5.50` or `£1.2 million`. `units` are the digits
/// before the point, `part` those behind it.
pub(super) fn money(sign: &str, units: &str, part: &str, written_scale: &str) -> String {
    let [one, many, small_one, small_many] = currency(sign);
    if !written_scale.is_empty() {
        return format!("{} {} {many}", amount(units, part), scale(written_scale));
    }
    if !matches!(part.len(), 0 | 2) {
        return format!("{} {many}", amount(units, part));
    }
    let counted = |digits: &str, one: &str, many: &str| match parse(digits) {
        Some(1) => format!("one {one}"),
        _ => format!("{} {many}", whole(digits.strip_prefix('0').unwrap_or(digits))),
    };
    match (parse(units), parse(part)) {
        (_, None | Some(0)) if units == "0" => format!("zero {many}"),
        (_, None | Some(0)) => counted(units, one, many),
        (Some(0), _) => counted(part, small_one, small_many),
        _ => format!("{} and {}", counted(units, one, many), counted(part, small_one, small_many)),
    }
}
