//! Rules for measures of several numbers: dimensions, feet and inches, hours and minutes.

use super::measures::{counted, side};
use super::operators::in_equation;
use super::units::name;
use super::{Rule, RuleMatch};

/// Rules that come before ranges and single units.
pub(super) const RULES: &[Rule] = &[
    // Two or three dimensions: `3 x 4 m`, `2x4`, `8.5" x 11"`.
    (r"[xX×]( ?)([0-9])", by),
    // `20 kg - 30 kg`, `5cm–10cm`.
    (r#"([0-9]) ?([A-Za-zµΩ°'"′″]{1,4}\.?) ?[-–] ?([0-9])"#, |found| {
        // `5W-30` is a code: the unit of a range stands behind its end too.
        let code = found.get(2).len() == 1 && !found.get(0).contains(' ') && {
            let digits = found.rest.trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == '.');
            !digits.trim_start().starts_with(found.get(2))
        };
        let quotes = ["'", "\"", "′", "″"].contains(&found.get(2));
        let unit = quotes || name(found.get(2)).is_some();
        let code = code && found.get(2).starts_with(char::is_alphabetic);
        (unit && !code && found.token_before().is_empty())
            .then(|| format!("{}{}{} to {}", found.get(1), if quotes { "" } else { " " }, found.get(2), found.get(3)))
    }),
    // Feet and inches, in which the inches are below 12. Minutes and seconds look the same.
    (
        r#"\b([0-9]{1,3})(?:'|′) ?([0-9]{1,2}(?: ?[0-9]/[0-9]+|\.[0-9]+)?)(?:"|″|''|′′)(?: ?([NSEW])\b)?"#,
        feet_and_inches,
    ),
    (r"\b([3-8])(?:'|′) ?([0-9]|1[01])\b", |found| {
        let alone = !found.rest.starts_with(['\'', '/', '"', '″'])
            && found.before() != Some('.')
            && !super::goes_on(found.rest);
        alone.then(|| format!("{} foot {}", found.get(1), found.get(2)))
    }),
    (r"\b([0-9]+(?:\.[0-9]+)?) ?′", |found| {
        Some(format!("{} {}", found.get(1), counted(found, found.get(1), "foot")))
    }),
    (r#"([0-9]+)' ?(tall|wide|long|deep|high|by\b|to [0-9]+')"#, |found| {
        Some(format!("{} feet {}", found.get(1), found.get(2).trim_end_matches('\'')))
    }),
    (r"\b([0-9]{1,3}(?:\.[0-9])?)'", feet),
    (r#"([0-9]+(?:[./][0-9]+)?)(?:"| ?″|'')"#, inches),
    (r"\b([0-9]+) ?h(?:rs?|ours?)? ?([0-9]{1,2})(?: ?m(?:ins?)?)?\b(?: ?([0-9]{1,2}) ?s(?:ecs?)?\b)?", duration),
    (r"\b([0-9]+) ?d ([0-9]{1,2} ?h)", |found| {
        Some(format!("{} {} {}", found.get(1), counted(found, found.get(1), "day"), found.get(2)))
    }),
    (r"\b([0-9]+)d (ago|left|later|old|remaining)\b", |found| {
        Some(format!("{} {} {}", found.get(1), counted(found, found.get(1), "day"), found.get(2)))
    }),
    (r"\b([0-9]+) ?m(?:ins?)? ?([0-9]{1,2}) ?s(?:ecs?)?\b", |found| {
        let free = found.token_before().is_empty();
        free.then(|| {
            let (minutes, seconds) = (found.get(1), found.get(2));
            let minutes = format!("{minutes} {}", counted(found, minutes, "minute"));
            format!("{minutes} {} {}", bare(seconds), counted(found, seconds, "second"))
        })
    }),
];

/// Returns digits without a leading zero: `05` in `1h05` is five.
fn bare(digits: &str) -> &str {
    digits.strip_prefix('0').filter(|rest| !rest.is_empty()).unwrap_or(digits)
}

/// Most characters of the numbers behind an `x` that are searched for a unit.
const ROW: usize = 32;

/// Reads an `x` between two numbers as `by`. With a sign of multiplication it is a product if no
/// unit follows.
fn by(found: &RuleMatch<'_>) -> Option<String> {
    let (behind, sign) = (found.get(1), found.get(0));
    let before = found.head.strip_suffix(' ').unwrap_or(found.head);
    let spaced = before.len() < found.head.len();
    let head = before.trim_end_matches(['.', '"', '\'', '″', '′']);
    let token = &head
        [head.len() - head.chars().rev().take_while(char::is_ascii_alphabetic).map(char::len_utf8).sum::<usize>()..];
    let number = head[..head.len() - token.len()]
        .trim_end_matches(' ')
        .ends_with(|last: char| last.is_ascii_digit() || last == '°');
    let unit = token.is_empty() || name(token).is_some() || ["feet", "meters", "inches"].contains(&token);
    // `10x 5kg` is a multiple, `PCIe 4.0 x16` a number of lanes, `0x1F` a hexadecimal number.
    let multiple = spaced == behind.is_empty();
    let hexadecimal = !spaced && before.rsplit(|c: char| !c.is_alphanumeric()).next() == Some("0");
    if !number || !unit || multiple && !sign.starts_with('×') || hexadecimal {
        return None;
    }
    let row: String =
        found.rest.chars().take(ROW).take_while(|&c| c.is_ascii_digit() || " .,xX×\"″'′/".contains(c)).collect();
    let after = found.rest[row.len()..].split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let measured = !token.is_empty()
        || row.contains(['"', '″', '\'', '′'])
        || name(after).is_some()
        || ["meters", "feet", "inches", "pixels"].contains(&after)
        || head.len() < before.len();
    let tight = !spaced && behind.is_empty();
    let thing = after.len() > 2 && after.starts_with(char::is_lowercase) && !["equals", "and"].contains(&after);
    let measured = measured || (tight && thing && !found.rest.contains('='));
    let power = found.get(2) == "1"
        && ["0^", "0 cubed", "0 squared", "0 to the power"].iter().any(|power| found.rest.starts_with(power));
    let product = (sign.starts_with('×') && !measured) || power || in_equation(found);
    let words = if product { "times" } else { "by" };
    Some(format!("{}{words} {}", if spaced { "" } else { " " }, found.get(2)))
}

fn feet_and_inches(found: &RuleMatch<'_>) -> Option<String> {
    let (feet, inches) = (found.get(1), found.get(2));
    let whole: u32 = inches.split(['.', ' ', '/']).next().and_then(|whole| whole.parse().ok())?;
    if found.before() == Some('°') || found.head.ends_with("degrees ") || (12..60).contains(&whole) {
        let minutes = format!("{feet} {}", counted(found, feet, "minute"));
        let seconds = format!("{minutes} {inches} {}{}", counted(found, inches, "second"), side(found.get(3)));
        return Some(found.before_letters(&seconds));
    }
    if whole >= 60 {
        return None;
    }
    if !found.get(3).is_empty() {
        return None;
    }
    if found.is_attribute() && inches.len() < 3 {
        return Some(format!("{feet}-foot-{inches}"));
    }
    let foot = counted(found, feet, "foot");
    let inch = if inches == "1" { "inch" } else { "inches" };
    Some(found.before_letters(&format!("{feet} {foot} {inches} {inch}")))
}

/// Reads a double quote behind a number as inches, unless it closes a quotation.
fn inches(found: &RuleMatch<'_>) -> Option<String> {
    let sure = found.get(0).ends_with('″') || found.get(0).ends_with("''");
    let number = found.get(1);
    if found.is_attribute() {
        return (sure || !is_open(found.head, '"')).then(|| format!("{number}-inch"));
    }
    (sure || !is_open(found.head, '"'))
        .then(|| found.before_letters(&format!("{number} {}", counted(found, number, "inch"))))
}

/// Reads an apostrophe behind a number as feet, unless it closes a quotation.
fn feet(found: &RuleMatch<'_>) -> Option<String> {
    let number = found.get(1);
    // The minutes of a match, `90+3'`, and the quotes of LaTeX: the `n+1' rule.
    let line = found.head.rsplit('\n').next().unwrap_or_default();
    let quoted = line.rsplit_once('`').is_some_and(|(_, quote)| !quote.contains('\''));
    if found.before() == Some('+') || quoted {
        return None;
    }
    let ends = found.rest.is_empty() || found.rest.starts_with([' ', '-', ',', '.', ';', ':', ')', '!', '?']);
    if !ends || is_open(found.head, '\'') || is_open(found.head, '"') {
        return None;
    }
    let one = found.is_attribute() || found.rest.starts_with('-');
    Some(if one { format!("{number}-foot") } else { format!("{number} {}", counted(found, number, "foot")) })
}

/// Returns true if a quotation is open behind `head`. A quote behind a digit opens none, and an
/// apostrophe inside a word is no quote.
fn is_open(head: &str, quote: char) -> bool {
    const BYTES: usize = 240;
    let line = head.rsplit('\n').next().unwrap_or_default();
    let mut start = line.len().saturating_sub(BYTES);
    while !line.is_char_boundary(start) {
        start += 1;
    }
    let (mut open, mut before) = (false, ' ');
    let mut characters = line[start..].chars().peekable();
    while let Some(character) = characters.next() {
        let inside = before.is_alphanumeric() && characters.peek().is_some_and(|next| next.is_alphanumeric());
        if character == quote && !(quote == '\'' && inside) {
            open = if open { false } else { !before.is_alphanumeric() };
        }
        before = character;
    }
    open
}

fn duration(found: &RuleMatch<'_>) -> Option<String> {
    let (hours, minutes, seconds) = (found.get(1), found.get(2), found.get(3));
    if !found.token_before().is_empty() || minutes.parse::<u32>().is_ok_and(|minutes| minutes > 59) {
        return None;
    }
    if found.previous_word() == "at"
        && found.get(0).len() <= 5
        && found.get(0).ends_with(|last: char| last.is_ascii_digit())
    {
        return Some(format!("{hours}:{minutes}"));
    }
    // `2 h 30` could be two numbers.
    if found.get(0).ends_with(|last: char| last.is_ascii_digit()) && found.get(0).contains(' ') {
        return None;
    }
    let mut words =
        format!("{hours} {} {} {}", counted(found, hours, "hour"), bare(minutes), counted(found, minutes, "minute"));
    if !seconds.is_empty() {
        words += &format!(" {} {}", bare(seconds), counted(found, seconds, "second"));
    }
    Some(words)
}
