//! Rules for sums of money.

use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{amount, money, note, scale};

/// Rules for ranges of sums. Other ranges come later, because their rules know neither currencies
/// nor thousands.
pub(super) const RANGES: &[Rule] = &[(
    r"(?x)
    (?:\bUS)? ([$€£¥])\ ? ([0-9]+(?:,[0-9]{3})*) (?:\.([0-9]+))?
    (?:\ ?(thousand|million|billion|trillion|bn|[kKmMB])\b)?
    (?:-|\ ?–\ ?)
    ([$€£¥]?) ([0-9]+(?:,[0-9]{3})*) (?:\.([0-9]+))?
    (?:\ ?(thousand|million|billion|trillion|bn|[kKmMB])\b)?",
    range,
)];

/// Rules for single sums.
pub(super) const RULES: &[Rule] = &[
    (r"([$€£¥]) ?(\.[0-9])", |found| Some(format!("{}0{}", found.get(1), found.get(2)))),
    (
        r"(?:\bUS)?([$€£¥])([0-9]+(?:,[0-9]{3})*)(?: (thousand|million|billion))? ((?:bill|note|banknote|coin)s?)\b",
        |found| {
            let named = note(found.get(1), found.get(2), found.get(3));
            Some(found.apart(&format!("{named} {}", found.get(4))))
        },
    ),
    (
        r"(?:\bUS)?([$€£¥]) ?([0-9]+(?:,[0-9]{3})*)(?:\.([0-9]+))?(?: ?(thousand|million|billion|trillion|bn|[kKmMB])\b)?",
        |found| Some(found.apart(&money(found.get(1), found.get(2), found.get(3), found.get(4)))),
    ),
    (r"([0-9]+(?:,[0-9]{3})*)(?:\.([0-9]+))? ?(thousand|million|billion|trillion|bn|[kKmMB])? ?([$€£¥])", |found| {
        // A dollar sign can also begin the name of a variable.
        let name = found.get(4) == "$" && found.after().is_some_and(char::is_alphanumeric);
        (!name).then(|| found.apart(&money(found.get(4), found.get(1), found.get(2), found.get(3))))
    }),
];

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
