//! Rules for sums of money.

use super::currencies::{money, note, scale};
use super::units;
use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{amount, plural, whole};

/// Pattern of the sign or code of a currency in front of its sum. The boundaries of words are those of
/// ASCII, because the others are slow in text of other scripts.
macro_rules! sign {
    () => {
        concat!(
            r"(?:(?-u:\b)(?:US|CA|AU|NZ|HK|NT|MX|[CASR]))?\$|[€£¥₹₩₽₺₪₴₦₱₫฿₸₡₵₿]|",
            r"(?-u:\b)(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|INR|CNY|RMB|KRW|SEK|NOK|DKK|RUB|BRL|MXN|ZAR|PLN|TRY|CZK|",
            r"HUF|SGD|HKD|TWD|THB|AED|SAR|ILS|PHP|PKR|BTC|ETH|Rs\.?|kr\.?)"
        )
    };
}

/// Pattern of the sign or code of a currency behind its sum.
macro_rules! sign_behind {
    () => {
        concat!(
            r"[$€£¥₹₩₽₺₪₴₦₱₫฿₸₡₵₿]|",
            r"(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|INR|CNY|RMB|KRW|SEK|NOK|DKK|RUB|BRL|MXN|ZAR|PLN|TRY|CZK|HUF|SGD|",
            r"HKD|TWD|THB|AED|SAR|ILS|PHP|PKR|BTC|ETH|kr|zł|Kč|US\$)(?-u:\b)"
        )
    };
}

/// Pattern of a power of a thousand.
macro_rules! scaled {
    () => {
        concat!(
            r"(?:[ -]?(hundred|thousand|million|billion|trillion|lakh|crore|mil|mln|bln|trn|bn|mn|tn|mm|MM|BN|MN|TN|",
            r"[kKmMBbtT])(?-u:\b))?"
        )
    };
}

/// Pattern of the digits of a sum.
macro_rules! sum {
    () => {
        r"([0-9]+(?:,[0-9]{3})*)(?:\.([0-9]+))?"
    };
}

/// Rules for ranges of sums. Other ranges come later, because their rules know neither currencies
/// nor thousands.
pub(super) const RANGES: &[Rule] = &[
    // A sign behind the currency: `$-12.50`. In `5$-10$` the hyphen is a range.
    (r"([$€£¥₹])[-−](\.?[0-9])", |found| {
        let range = found.before_blank().is_some_and(|before| before.is_ascii_digit());
        let free = !range && !found.before().is_some_and(char::is_alphanumeric);
        free.then(|| format!("minus {}{}", found.get(1), found.get(2)))
    }),
    // Bills by their value.
    (r"\$(1|5|10|20|50|100)s\b", |found| Some(plural_of(found.get(1)))),
    (
        concat!("(", sign!(), r") ?", sum!(), scaled!(), r"(?:-|–| – | - )", "(", sign!(), ")? ?", sum!(), scaled!()),
        range,
    ),
];

fn plural_of(digits: &str) -> String {
    plural(&whole(digits))
}

/// Rules for single sums.
pub(super) const RULES: &[Rule] = &[
    (concat!("(", sign!(), r") ?(\.[0-9])"), |found| Some(format!("{}0{}", found.get(1), found.get(2)))),
    (
        concat!("(", sign!(), r") ?", sum!(), r"(?: (thousand|million|billion))? ((?:bill|note|banknote|coin)s?)\b"),
        |found| {
            let named = note(found.get(1), found.get(2), found.get(3), found.get(4));
            Some(found.apart(&format!("{named} {}", found.get(5))))
        },
    ),
    (concat!("(", sign!(), r") ?", sum!(), scaled!(), r"(/ ?[A-Za-z]+)?"), sign_first),
    (concat!(sum!(), scaled!(), r" ?(", sign_behind!(), r")(/ ?[A-Za-z]+)?"), sign_last),
    // A cent sign, before or behind.
    (r"¢ ?([0-9]+)", |found| Some(format!("{}¢", found.get(1)))),
    (r"\b([0-9]+(?:\.[0-9]+)?) ?¢", |found| {
        let one = found.get(1) == "1" && found.before() != Some('.');
        Some(found.apart(&format!("{} cent{}", found.get(1), if one { "" } else { "s" })))
    }),
];

/// Returns true if a letter behind a number, such as `T` in `$5 T-shirts`, is no power of a
/// thousand.
fn is_no_scale(found: &RuleMatch<'_>, written: &str, per: &str) -> bool {
    written.len() == 1
        && per.is_empty()
        && found.rest.starts_with(['-', '&', '\''])
        && found.rest[1..].starts_with(char::is_alphabetic)
}

/// Reads `$5`, `US$3 million`, `EUR 5.50`, `$5/mo`. A sum behind `a` is the value of a thing: `a $5
/// fee`.
fn sign_first(found: &RuleMatch<'_>) -> Option<String> {
    let (sign, units, part, written) = (found.get(1), found.get(2), found.get(3), found.get(4));
    let per = found.get(5);
    // A pair of names: `PT/INR 2.5`, `EUR/USD 1.08`.
    if found.before() == Some('/') && sign.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return None;
    }
    if is_no_scale(found, written, per) {
        let spaced = if found.get(0).ends_with(&format!(" {written}")) { " " } else { "" };
        return Some(found.apart(&format!("{}{spaced}{written}", money(sign, units, part, ""))));
    }
    if found.is_attribute() {
        return Some(with_rate(&note(sign, units, part, written), per));
    }
    Some(found.apart(&with_rate(&money(sign, units, part, written), per)))
}

/// Reads `5 €` and `100 USD`. A dollar sign can also begin the name of a variable.
fn sign_last(found: &RuleMatch<'_>) -> Option<String> {
    let (units, part, written, sign, per) = (found.get(1), found.get(2), found.get(3), found.get(4), found.get(5));
    let name = sign == "$" && found.after().is_some_and(char::is_alphanumeric);
    let code = found.before().is_some_and(|before| before.is_alphanumeric() || before == '.');
    if name || (code && sign.len() > 1 && sign.is_ascii()) {
        return None;
    }
    Some(found.apart(&with_rate(&money(sign, units, part, written), per)))
}

/// Adds `per month` and the like to a sum; `per` is empty or begins with a slash.
fn with_rate(words: &str, per: &str) -> String {
    let name = per.trim_start_matches(['/', ' ']);
    match units::rate(name) {
        _ if per.is_empty() => words.to_owned(),
        Some(rate) => format!("{words} {rate}"),
        None => format!("{words}{per}"),
    }
}

/// Reads a range of sums. `$100-150k` is read as one sum with two numbers. Sums with cents and
/// `$5-$10` are read one after the other.
fn range(found: &RuleMatch<'_>) -> Option<String> {
    let (sign, other_sign) = (found.get(1), found.get(5));
    let (low, low_part, low_scale) = (found.get(2), found.get(3), found.get(4));
    let (high, high_part, high_scale) = (found.get(6), found.get(7), found.get(8));
    let part_of_more = found.before() == Some('-') || found.after().is_some_and(char::is_alphanumeric);
    if part_of_more || goes_on(found.rest) {
        return None;
    }
    let scaled = !low_scale.is_empty() || !high_scale.is_empty();
    let cents = !scaled && (low_part.len() == 2 || high_part.len() == 2);
    let two_sums = !other_sign.is_empty() && (high_scale.is_empty() || other_sign != sign);
    if cents || two_sums {
        let written = |units: &str, part: &str| if part.is_empty() { units.into() } else { format!("{units}.{part}") };
        let other_sign = if other_sign.is_empty() { sign } else { other_sign };
        let (low, high) = (written(low, low_part), written(high, high_part));
        return Some(format!("{sign}{low}{low_scale} to {other_sign}{high}{high_scale}"));
    }
    let mut words = amount(low, low_part);
    if !low_scale.is_empty() {
        words = format!("{words} {}", scale(low_scale));
    }
    Some(found.apart(&format!("{words} to {}", money(sign, high, high_part, high_scale))))
}
